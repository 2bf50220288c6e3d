"""What a tenant is to Cycles, for the tests: a workspace in the one Cycles tenant."""

from {{ cookiecutter.__package }}.core.about import DISTRIBUTION

from .live import TAG

CYCLES_TENANT = f"{DISTRIBUTION}-dev{TAG}"
SETTINGS = {"CYCLES_TENANT": CYCLES_TENANT, "CYCLES_API_KEY": "cyc_live_0123456789"}
"""Those of the tenancy as production takes them."""

OWN = {"CYCLES_TENANT": CYCLES_TENANT}
"""What the tests set otherwise than development."""

ONBOARDING = 2
"""How many requests to the admin server it makes."""

CLOSING = 4
"""The same of `tenants close`."""


def subject_of(tenant: str) -> dict[str, str]:
    return {"tenant": CYCLES_TENANT, "workspace": tenant}
