"""The example feature: chat, plain and streamed, and summaries."""
