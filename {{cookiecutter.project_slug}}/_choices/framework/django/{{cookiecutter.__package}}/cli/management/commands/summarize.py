"""`summarize`: summarize a text file, paid by a tenant's budget."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ....chat.schemas import SummarizeRequest
from ....chat.service import Chat, summary_of
from ....core.problems import Problem
from ....tenants.caller import Caller
from ....tenants.models import Tenant
from ....web import sync
from ...commands import add_json
from ...output import show


class Command(BaseCommand):
    help = "Summarize a text file, paid by a tenant's budget."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--tenant", required=True, metavar="ID", help="The tenant that pays.")
        parser.add_argument("--max-tokens", type=int, metavar="N")
        add_json(parser)

    def handle(self, *, file: Path, tenant: str, max_tokens: int | None, as_json: bool, **_: Any) -> None:
        if not Tenant.objects.filter(id=tenant).exists():
            raise Problem("unknown_tenant", f"There is no tenant {tenant!r}. See `tenants list`.")
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Problem("unreadable", f"{file}: {error}") from error
        work = summary_of(settings.ENV, Caller(tenant), SummarizeRequest(text=text, max_tokens=max_tokens))
        try:
            answer = sync.call(lambda services: Chat(services).summarize(work))
        finally:
            sync.close()
        show(answer.model_dump(), as_json)
