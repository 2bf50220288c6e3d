"""Model providers and the metering of their usage."""
