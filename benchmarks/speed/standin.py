"""An instant Cycles for benchmarks: well-formed answers, no state, no checks.

The tenant `broke` has nothing left. `GET /counts` returns the number of requests. Run: `python standin.py PORT`.
"""

import asyncio
import json
import sys
import uuid
from typing import Any

FAR: dict[str, Any] = {"expires_at_ms": 4_102_444_800_000, "remaining_ttl_ms": 60_000}
counts: dict[str, int] = {}


def microcents(amount: int) -> dict[str, Any]:
    return {"unit": "USD_MICROCENTS", "amount": amount}


def balances(tenant: str, left: int) -> list[dict[str, Any]]:
    amounts = {"allocated": 10**14, "spent": 10**14 - left, "reserved": 0, "remaining": left}
    scope = {"scope": f"tenant:{tenant}", "scope_path": f"tenant:{tenant}"}
    return [scope | {name: microcents(amount) for name, amount in amounts.items()}]


def tenant_of(path: str, body: bytes) -> str:
    """Return the tenant of a call, from its reservation's ID, its query or its body."""
    if b'"subject"' in body:
        return str(json.loads(body)["subject"]["tenant"])
    return path.rpartition("tenant=")[2].rpartition("/reservations/")[2].partition("_")[0].partition("&")[0]


def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of a call."""
    name = path.partition("?")[0].rpartition("/")[2]
    counts[name] = counts.get(name, 0) + 1
    tenant = tenant_of(path, body)
    broke, left = tenant == "broke", 0 if tenant == "broke" else 10**13
    scopes: dict[str, Any] = {"affected_scopes": [f"tenant:{tenant}"], "scope_path": f"tenant:{tenant}"}
    told: dict[str, Any] = {"balances": balances(tenant, left)}
    match method, name:
        case "POST", "reservations" if broke:
            return 409, {"error": "BUDGET_EXCEEDED", "message": "Budget exceeded", "request_id": "1"}
        case "POST", "reservations":
            held = json.loads(body)["estimate"]
            granted = {"decision": "ALLOW", "reservation_id": f"{tenant}_{uuid.uuid4()}", "reserved": held}
            return 200, granted | scopes | told | FAR
        case "POST", "decide":
            return 200, {"decision": "DENY", "reason_code": "BUDGET_EXCEEDED"} if broke else {"decision": "ALLOW"}
        case "POST", "commit":
            return 200, {"status": "COMMITTED", "charged": json.loads(body)["actual"]} | told
        case "POST", "release":
            return 200, {"status": "RELEASED", "released": microcents(1)} | told
        case "POST", "extend":
            return 200, {"status": "ACTIVE"} | FAR
        case "GET", "balances":
            return 200, told | {"has_more": False}
        case "GET", "counts":
            return 200, dict(counts)
    return 200, {}


class Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            line, *headers = self.received[:end].decode("latin-1").split("\r\n")
            length = next((int(each[15:]) for each in headers if each.lower().startswith("content-length:")), 0)
            if len(self.received) < end + 4 + length:
                return
            body, self.received = self.received[end + 4 : end + 4 + length], self.received[end + 4 + length :]
            method, path, _ = line.split(" ")
            status, told = answer(method, path, body)
            content = json.dumps(told).encode()
            head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
            self.transport.write(head.encode() + content)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
