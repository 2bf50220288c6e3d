"""Our own record of guarded calls, for display."""
