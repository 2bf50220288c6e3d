"""The command line. `--help` tells the rest."""

import sys
from typing import Annotated

import typer

from ..core.about import TITLE
from ..core.config import Settings
from ..tenants.links import show_link
from . import doctor, keys, server
from . import migrate as migrations
from .arguments import Json, TenantId
from .console import run
from .operators import add_operator
from .output import fail

app = typer.Typer(help=TITLE, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
tenants = typer.Typer(help="Tenants and their budgets.", no_args_is_help=True)
operators = typer.Typer(help="The people who may use the dashboard.", no_args_is_help=True)
app.add_typer(tenants, name="tenants")
app.add_typer(operators, name="operators")
keys.add_to(app)

Usd = Annotated[str, typer.Option(metavar="USD", help="Like 5.00")]
Again = Annotated[bool, typer.Option("--again", help="Even though a run cut over 23 h ago may have done it.")]


@tenants.command("add")
def add_tenant(
    tenant_id: TenantId,
    name: Annotated[str, typer.Option(help="What people call it.")],
    budget: Usd,
    overdraft: Annotated[str | None, typer.Option(metavar="USD", help="How far it may go into debt.")] = None,
    as_json: Json = False,
) -> None:
    """Onboard a tenant. Interrupted, or in doubt: the same again."""
    run(lambda desk: desk.add(tenant_id, name, budget, overdraft), as_json)


@tenants.command("list")
def list_tenants(as_json: Json = False) -> None:
    """All tenants, and whose Cycles key expires soon."""
    run(lambda desk: desk.listing(), as_json)


@tenants.command()
def fund(
    tenant_id: TenantId,
    credit: Usd,
    reference: Annotated[str | None, typer.Option(help="Credit it once, however often this runs.")] = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Add to a tenant's budget."""
    run(lambda desk: desk.fund(tenant_id, credit, reference, again=again), as_json)


@tenants.command()
def reset(
    budget: Usd,
    tenant_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    every: Annotated[bool, typer.Option("--all", help="All active tenants.")] = False,
    period: Annotated[str | None, typer.Option(help="Once for each tenant and period, like 2026-12.")] = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Begin anew: this budget, nothing spent, live holds kept."""
    if every == (tenant_id is not None):
        raise typer.BadParameter("give either an ID or --all")
    run(lambda desk: desk.reset(tenant_id, budget, period, again=again), as_json)


@tenants.command()
def suspend(tenant_id: TenantId, as_json: Json = False) -> None:
    """Refuse a tenant's callers for now; calls in flight still settle."""
    run(lambda desk: desk.suspend(tenant_id), as_json)


@tenants.command()
def resume(tenant_id: TenantId, as_json: Json = False) -> None:
    """Serve a suspended tenant again."""
    run(lambda desk: desk.resume(tenant_id), as_json)


@tenants.command()
def rotate(
    tenant_id: TenantId,
    now: Annotated[bool, typer.Option("--now", help="Revoke the old key at once.")] = False,
    as_json: Json = False,
) -> None:
    """Replace a tenant's Cycles key."""
    run(lambda desk: desk.rotate(tenant_id, now=now), as_json)


@tenants.command()
def close(
    tenant_id: TenantId,
    force: Annotated[bool, typer.Option("--force", help="Even if calls in flight cannot settle.")] = False,
    as_json: Json = False,
) -> None:
    """Refuse a tenant's callers for good."""
    run(lambda desk: desk.close(tenant_id, force=force), as_json)


@tenants.command()
def link(tenant_id: TenantId, as_json: Json = False) -> None:
    """A link by which a tenant's people sign in to its page: good once, for 15 minutes."""
    run(lambda desk: show_link(desk.settings, desk.registry, tenant_id), as_json)


@tenants.command()
def rewrap(as_json: Json = False) -> None:
    """Encrypt all Cycles keys with the newest TENANT_KEYS_SECRET, so that older ones can be dropped."""
    run(lambda desk: desk.rewrap(), as_json)


@operators.command("add")
def add_an_operator(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read it from standard input.")] = False,
    as_json: Json = False,
) -> None:
    """Let somebody into the dashboard, or give them a new password."""
    given = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    run(lambda desk: add_operator(desk.registry, name, given), as_json)


@app.command("doctor")
def examine(as_json: Json = False) -> None:
    """Look for what would keep this from working: changes nothing, exit 1 on a fault."""
    run(doctor.report, as_json)


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration."""
    migrations.upgrade()


@app.command()
def check() -> None:
    """Whether the migrations make the tables that the models want."""
    if difference := migrations.drift():
        fail("drift", f"{difference}: `alembic revision --autogenerate -m ...`", as_json=False)


@app.command()
def serve(reload: Annotated[bool, typer.Option("--reload", help="On each change.")] = False) -> None:
    """Serve, from the environment: HOST, PORT, WORKERS and the rest."""
    raise typer.Exit(server.serve(Settings(), "main:app", reload=reload))
