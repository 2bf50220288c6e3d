"""`summarize`: a summary of a file, paid by a tenant's budget."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from pydantic import ValidationError

from ....chat.schemas import SummarizeRequest
from ....chat.service import Chat, summary_of
from ....core.problems import OUTCOMES, Problem
from ....tenants.models import TenantRow
from ....tenants.records import Caller
from ....web import sync
from ...commands import add_json
from ...output import fail, faults_of, show


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
            body = SummarizeRequest(text=file.read_text("utf-8"), max_tokens=max_tokens)
            work = summary_of(settings.ENV, Caller(tenant), body)
            answer = sync.call(lambda services: Chat(services).summarize(work))
        except ValidationError as error:
            fail("invalid_request", faults_of(error), as_json)
        except (OSError, UnicodeDecodeError) as error:
            fail("unreadable", f"{file}: {error}", as_json)
        except Problem as problem:
            fail(problem.code, problem.detail or OUTCOMES[problem.code][2], as_json)
        finally:
            sync.close()
        show(answer.model_dump(), as_json)
