"""Who the tenants are, and who is calling."""
