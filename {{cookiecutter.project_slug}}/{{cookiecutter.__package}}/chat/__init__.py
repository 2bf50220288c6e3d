"""The example feature: chat, streaming chat and summaries."""
