"""A look at the embedded Cycles by itself."""
