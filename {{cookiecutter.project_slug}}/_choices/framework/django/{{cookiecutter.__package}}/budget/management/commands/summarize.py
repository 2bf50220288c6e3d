"""`summarize`: a summary of a file, paid by a tenant's budget."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ....chat.service_sync import summarize, summary_of
from ....commands import add_json
from ....output import fail, show
from ....problems import OUTCOMES, Problem
from ....tenants.models import TenantRow
from ....tenants.records import Caller


class Command(BaseCommand):
    help = "Summarize a text file. The tenant pays."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--tenant", required=True, metavar="ID", help="Whose budget pays.")
        parser.add_argument("--max-tokens", type=int, metavar="N")
        add_json(parser)

    def handle(self, *, file: Path, tenant: str, max_tokens: int | None, as_json: bool, **_: Any) -> None:
        if not TenantRow.objects.filter(id=tenant).exists():
            fail("unknown_tenant", f"There is no tenant {tenant!r}: see `tenants list`", as_json)
        try:
            text = file.read_text("utf-8")
            answer = summarize(summary_of(Caller(tenant), text, max_tokens))
        except (OSError, UnicodeDecodeError) as error:
            fail("unreadable", f"{file}: {error}", as_json)
        except Problem as problem:
            fail(problem.code, problem.detail or OUTCOMES[problem.code][2], as_json)
        show(answer.model_dump(), as_json)
