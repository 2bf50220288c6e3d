import asyncio
from typing import Any

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
