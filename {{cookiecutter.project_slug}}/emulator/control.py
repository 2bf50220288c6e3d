"""The emulator's own plane, `/_emulator/...`: faults, caps, the clock, reset, snapshot and a status page.

Any web page can post to a loopback address, so a call must name a loopback Host and carry the header
`X-Cycles-Emulator-Control: 1`, which a page cannot add to a request without asking first.
"""

import json
from dataclasses import asdict, replace
from urllib.parse import urlsplit

from pydantic import Field

from . import VERSION
from .clock import Clock, instant
from .exchange import Answer, Call, Refusal
from .faults import Fault, Faults, Kind, Operation
from .ledger import Ledger
from .runtime import sweep
from .schemas import Body, Caps, Unit
from .storage import Document

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
CONTROL_HEADER = "X-Cycles-Emulator-Control"


class FaultRequest(Body):
    """The next `times` answers of `operation` fail in the way of `kind`."""

    kind: Kind
    operation: Operation = "any"
    times: int = Field(default=1, ge=1, le=1_000_000)
    delay_ms: int = Field(default=1000, ge=0, le=600_000)


class CapsRequest(Body):
    """ALLOW becomes ALLOW_WITH_CAPS where this ledger is the deepest of the path; null takes the caps away."""

    scope: str
    unit: Unit = Unit.USD_MICROCENTS
    caps: Caps | None = None


class OverLimitRequest(Body):
    scope: str
    unit: Unit = Unit.USD_MICROCENTS
    is_over_limit: bool = True


class ClockRequest(Body):
    advance_ms: int = Field(ge=0, le=10 * 366 * 24 * 3600 * 1000)


class Control:
    """The handlers of the control plane."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.clock = clock
        self.faults = faults

    def add_fault(self, call: Call) -> Answer:
        self.faults.waiting.append(Fault(**call.parse(FaultRequest).model_dump()))
        return self.list_faults(call)

    def list_faults(self, _call: Call) -> Answer:
        return 200, {"faults": [asdict(fault) for fault in self.faults.waiting]}

    def clear_faults(self, call: Call) -> Answer:
        self.faults.waiting.clear()
        return self.list_faults(call)

    def set_caps(self, call: Call) -> Answer:
        request = call.parse(CapsRequest)
        caps = json.dumps(request.caps.model_dump(exclude_none=True)) if request.caps else None
        call.store.save_ledgers([replace(find(call, request.scope, request.unit), caps=caps)])
        return 200, {}

    def set_over_limit(self, call: Call) -> Answer:
        request = call.parse(OverLimitRequest)
        ledger = find(call, request.scope, request.unit)
        call.store.save_ledgers([replace(ledger, is_over_limit=request.is_over_limit)])
        return 200, {}

    def advance(self, call: Call) -> Answer:
        """Move the clock forward and expire what is due by then. It stays moved over restarts, until a reset."""
        self.clock.offset_ms += call.parse(ClockRequest).advance_ms
        call.store.save_setting("clock_offset_ms", self.clock.offset_ms)
        now = self.clock.now_ms()
        while sweep(call.store, now):
            pass
        return 200, {"now_ms": now}

    def reset(self, call: Call) -> Answer:
        call.store.reset()
        self.faults.waiting.clear()
        self.clock.offset_ms = 0
        return 200, {}

    def snapshot(self, call: Call) -> Answer:
        """Every ledger and every live hold; a hold counts on the ledgers in its `scopes`."""
        holds = [
            {
                "reservation_id": row.id,
                "tenant_id": row.tenant_id,
                "unit": row.unit,
                "amount": row.amount,
                "scopes": row.budgeted,
                "expires_at_ms": row.expires_at,
            }
            for row in call.store.live()
        ]
        ledgers = [asdict(each) | {"remaining": each.remaining} for each in call.store.ledgers(None)]
        return 200, {"now_ms": call.now, "ledgers": ledgers, "holds": holds}

    def status(self, call: Call) -> Answer:
        """A page for people, as plain text."""
        lines = [
            f"Cycles emulator {VERSION}",
            f"time        {instant(call.now)} (moved by {self.clock.offset_ms} ms)",
            f"live holds  {call.store.count_live()}",
            "faults      "
            + (", ".join(f"{each.kind} {each.operation} x{each.times}" for each in self.faults.waiting) or "none"),
            "ledgers",
            *(_line(each) for each in call.store.ledgers(None, limit=200)),
        ]
        return 200, {"text": "\n".join(lines) + "\n"}


def check_host(call: Call) -> None:
    """Raises 403 for a Host that is not loopback, whatever address the emulator listens on."""
    host = urlsplit(f"//{call.headers.get('Host', '')}").hostname
    if host not in LOOPBACK:
        raise Refusal(403, "FORBIDDEN", "The control plane is for loopback hosts only")


def check_header(call: Call) -> None:
    if call.headers.get(CONTROL_HEADER) != "1":
        raise Refusal(403, "FORBIDDEN", f"The control plane needs the header {CONTROL_HEADER}: 1")


def find(call: Call, scope: str, unit: Unit) -> Ledger:
    ledger = call.store.ledger(scope.lower(), unit)
    if ledger is None:
        raise Refusal(404, "NOT_FOUND", f"No ledger {scope} in {unit.value}")
    return ledger


def _line(ledger: Ledger) -> str:
    numbers = f"remaining {ledger.remaining} of {ledger.allocated}, reserved {ledger.reserved}, spent {ledger.spent}"
    notes = [f"debt {ledger.debt}"] if ledger.debt else []
    notes += [ledger.status] if ledger.status != "ACTIVE" else []
    notes += ["OVER LIMIT"] if ledger.is_over_limit else []
    notes += [f"caps {ledger.caps}"] if ledger.caps else []
    return f"  {ledger.scope} {ledger.unit}: {', '.join([numbers, *notes])}"


