import asyncio
from typing import Any

import pytest

from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.web.edge import Edge, Message, Receive, Scope, Send


def test_the_gateways_secret_is_for_the_identity_alone() -> None:
    headers = [(b"host", b"localhost"), (b"x-gateway-secret", b"secret"), (b"x-tenant-id", b"acme")]
    seen: dict[str, Any] = {}

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        seen.update(scope)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        """Nothing comes."""

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": headers}
    asyncio.run(Edge(app, Settings())(scope, receive, send))
    assert seen["headers"] == [(b"host", b"localhost"), (b"x-tenant-id", b"acme")]
    assert seen["state"]["sent_headers"] == headers


@pytest.mark.parametrize("left", [False, True], ids=["complete", "client left"])
def test_a_chunked_body_is_complete_or_its_client_has_left(*, left: bool) -> None:
    end = {"type": "http.disconnect"} if left else {"type": "http.request", "body": b"x"}
    sent: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": True}, end]
    seen: list[Message] = []

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        seen.append(await receive())

    async def receive() -> Message:
        return sent.pop(0)

    async def send(_: Message) -> None:
        """Nothing comes."""

    headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": "/", "scheme": "http", "headers": headers}
    asyncio.run(Edge(app, Settings())(scope, receive, send))
    assert [message["type"] for message in seen] == [end["type"]]
