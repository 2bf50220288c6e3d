"""What a tenant is to Cycles, for the tests: a Cycles tenant of the same ID."""

SETTINGS = {"TENANT_KEYS_SECRET": "0123456789abcdefghijklmnopqrstuv"}
"""Those of the tenancy as production takes them."""

OWN: dict[str, str] = {}
"""What the tests set otherwise than development: nothing."""

ONBOARDING = 5
"""How many requests to the admin server it makes."""

CLOSING = 6
"""The same of `tenants close`."""


def subject_of(tenant: str) -> dict[str, str]:
    return {"tenant": tenant}
