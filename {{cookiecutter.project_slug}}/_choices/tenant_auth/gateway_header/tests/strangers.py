"""Invalid credentials that look like a tenant's."""

from .running import App


def strangers(app: App, tenant: str) -> dict[str, list[tuple[str, str]]]:
    """Return headers by what is wrong with them. Every route must answer 401."""
    name, secret = ("X-Tenant-ID", tenant), app.headers(tenant, None)["X-Gateway-Secret"]
    return {
        "a wrong secret": [name, ("X-Gateway-Secret", secret[::-1])],
        "an empty secret": [name, ("X-Gateway-Secret", "")],
        "a part of the secret": [name, ("X-Gateway-Secret", secret[:-1])],
        "a list with the secret": [name, ("X-Gateway-Secret", f"{secret[::-1]},{secret}")],
        "the secret twice": [name, *[("X-Gateway-Secret", secret)] * 2],
        "the secret in another place": [name, ("Authorization", f"Bearer {secret}")],
        "no tenant": [("X-Gateway-Secret", secret)],
        "a tenant that nobody knows": [("X-Tenant-ID", "nobody"), ("X-Gateway-Secret", secret)],
        "a tenant in capitals": [("X-Tenant-ID", tenant.upper()), ("X-Gateway-Secret", secret)],
        "a tenant that is none": [("X-Tenant-ID", "../acme"), ("X-Gateway-Secret", secret)],
        "a tenant's name that goes on": [("X-Tenant-ID", tenant * 1000), ("X-Gateway-Secret", secret)],
    }
