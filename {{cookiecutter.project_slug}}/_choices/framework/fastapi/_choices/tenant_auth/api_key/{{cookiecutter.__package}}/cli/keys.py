"""Commands for API keys."""

from typing import Annotated

import typer

from ..tenants import keys
from .arguments import Json, Name, TenantId
from .console import run

commands = typer.Typer(help="Manage the API keys of a tenant's callers.", no_args_is_help=True)
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="keys")


@commands.command("list")
def list_all(tenant_id: TenantId, as_json: Json = False) -> None:
    """List a tenant's API keys, revoked ones included, with names and dates."""
    run(lambda service: keys.list_keys(service.registry, tenant_id), as_json)


@commands.command()
def add(tenant_id: TenantId, name: Name = "more", as_json: Json = False) -> None:
    """Add an API key, shown once."""
    run(lambda service: keys.add_key(service.registry, tenant_id, name), as_json)


@commands.command()
def revoke(tenant_id: TenantId, key_id: KeyId, as_json: Json = False) -> None:
    """Revoke an API key, within 5 s. Safe to run again."""
    run(lambda service: keys.revoke_key(service.registry, tenant_id, key_id), as_json)
