"""The tenancy, for the tests: each tenant is a workspace of one Cycles tenant."""

from {{ cookiecutter.__package }}.core.about import DISTRIBUTION

from .live import TAG

CYCLES_TENANT = f"{DISTRIBUTION}-dev{TAG}"
SETTINGS = {"CYCLES_TENANT": CYCLES_TENANT, "CYCLES_API_KEY": "cyc_live_0123456789"}
"""Settings that production requires."""

OWN = {"CYCLES_TENANT": CYCLES_TENANT}
"""Settings of the tests that differ from development."""

ONBOARDING = 2
"""Requests of `tenants add` to the admin server."""

CLOSING = 3
"""Requests of `tenants close` to the admin server."""


def subject_of(tenant: str) -> dict[str, str]:
    return {"tenant": CYCLES_TENANT, "workspace": tenant}
