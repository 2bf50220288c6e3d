"""Requests with a key that make several calls of the model."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from {{ cookiecutter.__package }}.budget.hold import Work
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import Message, Request
from {{ cookiecutter.__package }}.web.edge import App, Receive, Scope, Send
from {{ cookiecutter.__package }}.web.idempotency import Idempotency
from {{ cookiecutter.__package }}.web.services import Services

from .answers import opened_answers
from .embedded import until
from .stories import Tell, World

WORK = Work(tenant="acme", route="chat", request=Request("demo-1", (Message("user", "Hi"),), 100), request_id="r")

STATE: dict[str, Any] = {"sent_headers": []}


class Named:
    """Identifies every caller as acme."""

    async def identify(self, _: object) -> str:
        return "acme"


def named(services: Services) -> None:
    """Give what the edge and the settings give a serving process."""
    services.identity = Named()  # type: ignore[assignment]
    services.settings.secret_key = [SecretStr("s" * 40)]


class Client:
    """Sends one request with a key, and collects the messages of its answer."""

    def __init__(self, keyed: Idempotency) -> None:
        self._keyed = keyed
        self.answer: list[Any] = []

    async def ask(self, app: App) -> None:
        scope = {"path": "/api/x", "query_string": b"", "headers": [(b"idempotency-key", b"k")], "state": STATE.copy()}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            self.answer.append(message)

        await self._keyed.serve(app, scope, receive, send)


async def never(_: Scope, __: Receive, ___: Send) -> None:
    raise AssertionError("a repeated request ran again")


def test_request_of_several_calls_is_not_run_again_once_one_is_charged(tell: Tell) -> None:
    async def story(world: World) -> None:
        services = world.services
        named(services)
        in_second, go_on = asyncio.Event(), asyncio.Event()

        async def two_calls(_: Scope, __: Receive, send: Send) -> None:
            async with services.guard.hold(WORK) as first:
                await first.complete(services.provider)
            assert not world.outbox
            assert world.cycles.ledger().spent == 0
            async with services.guard.hold(WORK) as second:
                in_second.set()
                await go_on.wait()
                await second.complete(services.provider)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(first.call.cost + second.call.cost).encode()})

        async with opened_answers(world) as store:
            keyed, other = Idempotency(services, store), Idempotency(services, store)
            client = Client(keyed)
            running = asyncio.create_task(client.ask(two_calls))
            await in_second.wait()
            spent = world.cycles.ledger().spent
            assert spent > 0
            with pytest.raises(Problem, match="idempotency_in_progress"):
                await Client(other).ask(never)
            (owner,) = keyed._owners  # noqa: SLF001  (the process dies: nobody extends its leases)
            long_ago = datetime(2026, 1, 1, tzinfo=UTC)
            await store.tend([owner], long_ago, long_ago)
            with pytest.raises(Problem, match="idempotency_not_kept"):
                await Client(other).ask(never)
            go_on.set()
            await running
            assert client.answer[-1]["body"] == str(2 * spent).encode()
            again = Client(other)
            await again.ask(never)
            assert again.answer[-1]["body"] == client.answer[-1]["body"]
            await until(lambda: world.cycles.ledger().spent == 2 * spent)
            assert world.cycles.ledger().reserved == 0

    tell(story)
