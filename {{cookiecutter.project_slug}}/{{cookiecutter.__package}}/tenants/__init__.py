"""Tenants: their records, their callers' identity, and what operators do with them."""
