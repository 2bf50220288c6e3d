"""Faults on demand: the next n answers of an operation go wrong. They are not kept over a restart."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["drop_before", "drop_after", "delay", "error", "unauthorized", "malformed"]
Operation = Literal["any", "reserve", "commit", "release", "extend", "decide", "event", "balances"]


@dataclass(slots=True)
class Fault:
    """
    drop_before   the connection is cut before the call took effect
    drop_after    the call takes effect, then the connection is cut
    delay         the call takes effect, the answer comes delay_ms later
    error         500 INTERNAL_ERROR, no effect
    unauthorized  401 INTERNAL_ERROR, no effect: how an outage of Redis looks; readiness is 503 as long as it waits
    malformed     the call takes effect, the answer has its status but half a body
    """

    kind: Kind
    operation: Operation
    times: int
    delay_ms: int


@dataclass(slots=True)
class Faults:
    """The faults that wait, oldest first."""

    waiting: list[Fault] = field(default_factory=list)

    def take(self, operation: str) -> Fault | None:
        """The fault for this call, if one waits; it counts as used."""
        for fault in self.waiting:
            if fault.operation in {"any", operation}:
                fault.times -= 1
                if fault.times == 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def redis_is_down(self) -> bool:
        return any(fault.kind == "unauthorized" for fault in self.waiting)
