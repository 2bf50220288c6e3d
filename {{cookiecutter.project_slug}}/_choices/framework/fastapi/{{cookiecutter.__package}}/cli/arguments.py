"""Arguments and options that several commands share."""

from typing import Annotated

import typer

TenantId = Annotated[str, typer.Argument(metavar="ID")]
Name = Annotated[str, typer.Option(help="Display name.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")]
