"""The commands that keep the callers' credentials: API keys."""

from typing import Annotated

import typer

from ..tenants import keys
from .arguments import Json, TenantId
from .console import run

commands = typer.Typer(help="The API keys that a tenant's callers send.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="keys")


@commands.command("list")
def list_keys(tenant_id: TenantId, as_json: Json = False) -> None:
    """A tenant's keys: their names and dates, never themselves."""
    run(lambda desk: keys.show_keys(desk.registry, tenant_id), as_json)


@commands.command("add")
def add_key(
    tenant_id: TenantId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "more",
    as_json: Json = False,
) -> None:
    """One more key for a tenant, shown once."""
    run(lambda desk: keys.show_new_key(desk.registry, tenant_id, name), as_json)


@commands.command("revoke")
def revoke_key(
    tenant_id: TenantId, key_id: Annotated[str, typer.Argument(metavar="KEY_ID")], as_json: Json = False
) -> None:
    """Refuse a key from now on."""
    run(lambda desk: keys.show_revoked_key(desk.registry, tenant_id, key_id), as_json)
