"""The commands that keep the callers' credentials: API keys."""

from typing import Annotated, Any

import typer

from .console import Json, TenantId, run
from .tenants import keys
from .tenants.onboarding import Onboarding

commands = typer.Typer(help="The API keys that a tenant's callers send.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="keys")


@commands.command("list")
def list_keys(tenant_id: TenantId, as_json: Json = False) -> None:
    """A tenant's keys, by what can be known of them."""

    async def work(desk: Onboarding) -> dict[str, Any]:
        rows = [
            {
                "key_id": key.id,
                "name": key.name,
                "prefix": key.prefix,
                "created_at": key.created_at.isoformat(),
                "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            for key in await keys.keys_of(desk.registry, tenant_id)
        ]
        return {"tenant": tenant_id, "keys": rows}

    run(work, as_json)


@commands.command("add")
def add_key(
    tenant_id: TenantId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "more",
    as_json: Json = False,
) -> None:
    """One more key for a tenant, shown once."""

    async def work(desk: Onboarding) -> dict[str, Any]:
        minted = await keys.add_key(desk.registry, tenant_id, name)
        return {"tenant": tenant_id, "key_id": minted.id, "api_key": minted.plain}

    run(work, as_json)


@commands.command("revoke")
def revoke_key(
    tenant_id: TenantId, key_id: Annotated[str, typer.Argument(metavar="KEY_ID")], as_json: Json = False
) -> None:
    """Refuse a key from now on."""

    async def work(desk: Onboarding) -> dict[str, Any]:
        await keys.revoke_key(desk.registry, tenant_id, key_id)
        return {"tenant": tenant_id, "key_id": key_id, "revoked": True}

    run(work, as_json)
