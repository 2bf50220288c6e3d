"""The HTTP edge: what all routes share."""
