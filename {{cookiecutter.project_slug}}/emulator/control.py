"""The emulator's own plane, `/_emulator/...`: faults, ledgers as tests need them, the clock, the state.

It takes the admin key, as any process on the machine and any web page can send requests to a loopback address.
"""

from dataclasses import replace
from urllib.parse import urlsplit

from . import schemas
from .exchange import Answer, Exchange
from .faults import Fault
from .ledger import Ledger, Refused
from .runtime import sweep


class Control(Exchange):
    """The handlers."""

    def health(self, probe: str) -> Answer:
        """Answer the servers' public probes. Readiness is 503 while a fault plays an outage of Redis."""
        down = probe == "readiness" and any(fault.kind == "unauthorized" for fault in self.emulator.faults)
        return (503, {"status": "OUT_OF_SERVICE"}) if down else (200, {"status": "UP"})

    def change_faults(self, method: str) -> Answer:
        """Add a fault, delete all, or list them."""
        if method == "POST":
            self.emulator.faults.append(self.parse(Fault))
        if method == "DELETE":
            self.emulator.faults.clear()
        return 200, {"faults": [fault.model_dump() for fault in self.emulator.faults]}

    def change_ledger(self) -> Answer:
        """Set all: caps (the deepest ledger's make ALLOW an ALLOW_WITH_CAPS; null for none), is_over_limit, status."""
        request = self.parse(schemas.LedgerChange)
        caps = request.caps and request.caps.model_dump(exclude_none=True)
        for each in self.store.path([request.scope.lower()], request.unit):
            self.store.save_path([replace(each, is_over_limit=request.is_over_limit, caps=caps, status=request.status)])
            return 200, {}
        raise Refused("NOT_FOUND", f"No ledger {request.scope} in {request.unit}", 404)

    def advance(self) -> Answer:
        """Move the clock forward and expire what is due by then. It stays moved over restarts, until a reset."""
        clock = self.emulator.clock
        clock.offset_ms += self.parse(schemas.ClockChange).advance_ms
        self.store.save("clock", {"offset_ms": clock.offset_ms})
        while sweep(self.store, clock.now_ms()):
            pass
        return 200, {"now_ms": clock.now_ms()}

    def reset(self) -> Answer:
        for table in ("clock", "tenants", "api_keys", "ledgers", "replays", "reservations"):
            self.store.delete(table)
        self.emulator.faults.clear()
        self.emulator.clock.offset_ms = 0
        return 200, {}

    def snapshot(self) -> Answer:
        """Every ledger and every live hold; a hold counts on the ledgers in its `scopes`."""
        holds = [
            {"id": each.body["reservation_id"], "tenant_id": each.tenant, "scopes": each.budgeted}
            | each.body["reserved"]
            for each in self.store.holds("status = 'ACTIVE'")
        ]
        found = self.store.find("ledgers", "true", order="scope, unit")
        ledgers = [each | {"remaining": Ledger(**each).remaining} for each in found]
        return 200, {"now_ms": self.now, "ledgers": ledgers, "holds": holds}

    def check_host(self) -> None:
        """Raises 403 for a Host that is not loopback: the name of a web page's site may resolve to our address."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in {"127.0.0.1", "localhost", "::1"}:
            raise Refused("FORBIDDEN", f"The {self.plane} plane is for loopback hosts only", 403)
