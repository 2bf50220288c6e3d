"""The HTTP layer: what all routes share."""
