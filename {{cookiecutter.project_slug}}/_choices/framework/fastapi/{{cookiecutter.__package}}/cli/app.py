"""The command line."""

from typing import Annotated

import typer

from ..core.about import TITLE
from ..core.config import Settings
from . import doctor, keys, server
from . import migrate as migrations
from .arguments import Json, Name, TenantId
from .console import run
from .operators import add_operator

Usd = Annotated[str, typer.Option(metavar="USD", help="For example 5.00")]
Overdraft = Annotated[str | None, typer.Option(metavar="USD", help="Maximum debt.")]
Reference = Annotated[str | None, typer.Option(help="Credit once per reference, however often this runs.")]
Period = Annotated[str | None, typer.Option(help="Reset once per tenant and period, for example 2026-12.")]
OneTenant = Annotated[str | None, typer.Argument(metavar="[ID]")]
AllTenants = Annotated[bool, typer.Option("--all", help="All active tenants.")]
Now = Annotated[bool, typer.Option("--now", help="Revoke the old key at once.")]
Force = Annotated[bool, typer.Option("--force", help="Close even if calls are in flight.")]
OperatorName = Annotated[str, typer.Argument(metavar="NAME")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
Reload = Annotated[bool, typer.Option("--reload", help="Restart when code changes.")]

app = typer.Typer(help=TITLE, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
tenants = typer.Typer(help="Manage tenants and their budgets.", no_args_is_help=True)
operators = typer.Typer(help="Manage the operators, who use the dashboard.", no_args_is_help=True)
app.add_typer(tenants, name="tenants")
app.add_typer(operators, name="operators")
keys.add_to(app)


@tenants.command()
def add(tenant_id: TenantId, name: Name, budget: Usd, overdraft: Overdraft = None, as_json: Json = False) -> None:
    """Onboard a tenant. Safe to run again."""
    run(lambda service: service.add(tenant_id, name, budget, overdraft), as_json)


@tenants.command("list")
def list_all(as_json: Json = False) -> None:
    """List all tenants. Revokes rotated Cycles keys."""
    run(lambda service: service.list_all(), as_json)


@tenants.command()
def fund(tenant_id: TenantId, credit: Usd, reference: Reference = None, as_json: Json = False) -> None:
    """Add credit to a tenant's budget."""
    run(lambda service: service.fund(tenant_id, credit, reference), as_json)


@tenants.command()
def reset(
    budget: Usd,
    tenant_id: OneTenant = None,
    every: AllTenants = False,
    period: Period = None,
    as_json: Json = False,
) -> None:
    """Set the budget and set spent to 0. Keeps live holds."""
    if every == (tenant_id is not None):
        raise typer.BadParameter("give either an ID or --all")
    run(lambda service: service.reset(tenant_id, budget, period), as_json)


@tenants.command()
def suspend(tenant_id: TenantId, as_json: Json = False) -> None:
    """Suspend a tenant: refuse its callers. Calls in flight still settle."""
    run(lambda service: service.suspend(tenant_id), as_json)


@tenants.command()
def resume(tenant_id: TenantId, as_json: Json = False) -> None:
    """Resume a suspended tenant."""
    run(lambda service: service.resume(tenant_id), as_json)


@tenants.command()
def rotate(tenant_id: TenantId, now: Now = False, as_json: Json = False) -> None:
    """Replace a tenant's Cycles key. The old one is revoked when no hold of it is left."""
    run(lambda service: service.rotate(tenant_id, now=now), as_json)


@tenants.command()
def close(tenant_id: TenantId, force: Force = False, as_json: Json = False) -> None:
    """Close a tenant for good: refuse its callers and new holds."""
    run(lambda service: service.close(tenant_id, force=force), as_json)


@tenants.command()
def link(tenant_id: TenantId, as_json: Json = False) -> None:
    """Create a sign-in link to a tenant's page, usable once within 15 minutes."""
    run(lambda service: service.link(tenant_id), as_json)


@operators.command("add")
def add_one(name: OperatorName, password_stdin: PasswordStdin = False, as_json: Json = False) -> None:
    """Add an operator, or replace the password. Generates one unless it is given on stdin."""
    run(lambda service: add_operator(service.registry, name, password_stdin=password_stdin), as_json)


@app.command("doctor")
def examine(as_json: Json = False) -> None:
    """Find what keeps the service from working. Changes nothing; exit 1 on a fault."""
    run(doctor.report, as_json)


@app.command()
def migrate() -> None:
    """Migrate the database to the newest version."""
    migrations.upgrade()


@app.command()
def check() -> None:
    """Check that the migrations create the tables of the models."""
    migrations.check()


@app.command()
def serve(reload: Reload = False) -> None:
    """Serve the app, configured by the environment: HOST, PORT, WORKERS and others."""
    raise typer.Exit(server.serve(Settings(), "main:app", reload=reload))
