"""What the client of the Cycles Admin API puts on the wire."""

import asyncio
import json
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler

from pydantic import SecretStr

from {{ cookiecutter.__package }}.tenants.admin_api import AdminApi, AdminLedger

from ..listening import Quiet, listening

LEDGER = AdminLedger(scope="tenant:acme", unit="USD_MICROCENTS", status="ACTIVE", allocated=1, remaining=1)


def test_every_write_has_a_json_body() -> None:
    """Cycles answers 500 to any other content type, even where it needs no body."""
    writes: dict[str, tuple[str | None, object]] = {}

    class Recorder(Quiet, BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = f"{self.command} {self.path.partition('?')[0]}"
            writes[request] = (self.headers["Content-Type"], json.loads(body or "null"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"key_id": "key_1", "previous_allocated": 0, "previous_spent": 0, "new_remaining": 1}')

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"ledgers": []}')

        do_POST = do_PATCH = answer  # noqa: N815

    async def write() -> None:
        async with aclosing(AdminApi(url, SecretStr("admin-key"))) as admin:
            await admin.ensure_tenant("acme", "Acme")
            await admin.mint_key("acme", "app")
            await admin.create_ledger("tenant:acme", allocated=1, overdraft=0)
            await admin.set_overdraft("tenant:acme", 1)
            await admin.fund("tenant:acme", "CREDIT", 1, "key")
            await admin.set_frozen(LEDGER, frozen=True)
            await admin.set_frozen(LEDGER, frozen=False)

    with listening(Recorder) as url:
        asyncio.run(write())
    assert len(writes) == 7
    for content_type, body in writes.values():
        assert content_type == "application/json"
        assert isinstance(body, dict)
