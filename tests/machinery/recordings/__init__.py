"""What the real servers answered."""
