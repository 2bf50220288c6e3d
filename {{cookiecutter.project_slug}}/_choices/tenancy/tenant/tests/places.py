"""The tenancy, for the tests: each tenant is a Cycles tenant with the same ID."""

SETTINGS = {"TENANT_KEYS_SECRET": "0123456789abcdefghijklmnopqrstuv"}
"""Settings that production requires."""

OWN: dict[str, str] = {}
"""Settings of the tests that differ from development."""

ONBOARDING = 5
"""Requests of `tenants add` to the admin server."""

CLOSING = 3
"""Requests of `tenants close` to the admin server."""


def subject_of(tenant: str) -> dict[str, str]:
    return {"tenant": tenant}
