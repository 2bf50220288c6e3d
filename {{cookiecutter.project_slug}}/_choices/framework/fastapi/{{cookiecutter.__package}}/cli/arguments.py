"""What several commands are given."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
TenantId = Annotated[str, typer.Argument(metavar="ID")]
