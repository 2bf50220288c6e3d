"""The provider's own API under /v1, paid by the tenant."""
