"""Makes what CYCLES_TENANT and CYCLES_API_KEY name: the Cycles tenant where it is absent, and a key, told on stdout.

Run it as `python -m PACKAGE.tenants.make_account`, with CYCLES_TENANT and access to the Admin API set.
"""

import asyncio
import sys

from ..core.config import Settings
from ..core.errors import TenantsError
from .admin_api import AdminApi


async def make_account(settings: Settings) -> str:
    """The secret of a new key, or of the one that is set where it is live. Raises TenantsError."""
    tenant, url, admin_key = settings.cycles_tenant, settings.cycles_admin_url, settings.cycles_admin_api_key
    if not (tenant and url and admin_key):
        raise TenantsError("not_configured", "CYCLES_TENANT, CYCLES_ADMIN_URL or CYCLES_ADMIN_API_KEY is missing")
    secret = settings.cycles_api_key.get_secret_value() if settings.cycles_api_key else ""
    async with AdminApi(url, admin_key) as admin:
        await admin.ensure_tenant(tenant, tenant)
        if any(key.key_prefix and secret.startswith(key.key_prefix) for key in await admin.live_keys(tenant)):
            return secret
        key = await admin.mint_key(tenant, settings.cycles_app)
    return key.key_secret.get_secret_value() if key.key_secret else ""


def main() -> None:
    try:
        secret = asyncio.run(make_account(Settings()))
    except TenantsError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{secret}\n")


if __name__ == "__main__":
    main()
