"""The model provider, behind one small interface (provider.py)."""
