"""Arguments and options of the commands."""

from typing import Annotated

import typer

TenantId = Annotated[str, typer.Argument(metavar="ID")]
Usd = Annotated[str, typer.Option(metavar="USD", help="For example 5.00")]
Name = Annotated[str, typer.Option(help="Display name.")]
Overdraft = Annotated[str | None, typer.Option(metavar="USD", help="Maximum debt.")]
Reference = Annotated[str | None, typer.Option(help="Credit once per reference, however often this runs.")]
Period = Annotated[str | None, typer.Option(help="Reset once per tenant and period, for example 2026-12.")]
Again = Annotated[
    bool,
    typer.Option("--again", help="Apply even if an interrupted run over 23 hours ago may already have done it."),
]
OneTenant = Annotated[str | None, typer.Argument(metavar="[ID]")]
AllTenants = Annotated[bool, typer.Option("--all", help="All active tenants.")]
Now = Annotated[bool, typer.Option("--now", help="Revoke the old key at once.")]
Force = Annotated[bool, typer.Option("--force", help="Close even if calls in flight then cannot be charged.")]
OperatorName = Annotated[str, typer.Argument(metavar="NAME")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
Reload = Annotated[bool, typer.Option("--reload", help="Restart when code changes.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")]
