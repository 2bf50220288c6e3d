"""How the commands run: data on stdout, words on stderr; exit 0 done, 1 refused or faulty, 2 usage."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from .database import Database
from .settings import Settings
from .tenants.admin_api import AdminApi
from .tenants.errors import TenantsError
from .tenants.onboarding import Onboarding
from .tenants.registry import Registry
from .tenants.vault import Vault

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
TenantId = Annotated[str, typer.Argument(metavar="ID")]


def run(work: Callable[[Onboarding], Awaitable[Any]], as_json: bool) -> dict[str, Any]:
    """Do `work`, show the dict or dataclass it answers (`note` on stderr), return it. Exit 1 if refused."""
    try:
        done = asyncio.run(_work(work))
    except TenantsError as error:
        fail(error.code, str(error), as_json)
    except ValidationError as error:
        fail("invalid", f"{error.title}: {_faults_of(error)}", as_json)
    except (SQLAlchemyError, OSError) as error:
        detail = "is DATABASE_URL right, the database up, and did `make migrate` run?"
        fail("database", f"The database does not do it ({type(error).__name__}): {detail}", as_json)
    answer: dict[str, Any] = done if isinstance(done, dict) else asdict(done)
    _show(answer, as_json)
    return answer


@asynccontextmanager
async def onboarding(settings: Settings) -> AsyncIterator[Onboarding]:
    """The verbs over this process's database, and over Cycles' control plane where the settings name it."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        admin = None
        if settings.cycles_admin_url and settings.cycles_admin_api_key:
            api = AdminApi(settings.cycles_admin_url, settings.cycles_admin_api_key)
            admin = await stack.enter_async_context(api)
        yield Onboarding(settings, Registry(database), Vault(settings.tenant_keys_secret), admin)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if note := answer.pop("note", None):
        typer.echo(note, err=True)
    if error := answer.get("error"):
        typer.echo(error["message"], err=True)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            _show_table(value)
        elif value not in (None, []) and name != "error":
            typer.echo(f"{name}: {' '.join(value) if isinstance(value, list) else value}")


def fail(code: str, message: str, as_json: bool) -> NoReturn:
    typer.echo(message, err=True)
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": message}}))
    raise typer.Exit(1)


async def _work(work: Callable[[Onboarding], Awaitable[Any]]) -> Any:
    async with onboarding(Settings()) as desk:
        return await work(desk)


def _show_table(rows: list[Mapping[str, Any]]) -> None:
    texts = [["" if value is None else str(value) for value in row.values()] for row in rows]
    cells = [list(rows[0]), *texts]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _faults_of(error: ValidationError) -> str:
    # never the input: it may be a secret
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
