"""Faults on demand: the next n answers of an operation go wrong. They are not kept over a restart."""

from typing import Literal

from pydantic import Field

from .schemas import Body

REFUSALS = {
    "error": ("INTERNAL_ERROR", "Internal error", 500),
    "limited": ("LIMIT_EXCEEDED", "Too many requests", 429),
    "unauthorized": ("UNAUTHORIZED", "INTERNAL_ERROR", 401),
}


class Fault(Body):
    """What goes wrong with the next `times` calls of `operation`.

    drop_before   the connection is cut before the call takes effect
    drop_after    the call takes effect, then the connection is cut
    delay         the call takes effect, the answer comes delay_ms later
    error         500 INTERNAL_ERROR, no effect
    limited       429 LIMIT_EXCEEDED with Retry-After: 7, no effect
    unauthorized  401 INTERNAL_ERROR, no effect: an outage of Redis; readiness is 503 as long as this waits
    malformed     the call takes effect, the answer has its status but half a body
    """

    kind: Literal["drop_before", "drop_after", "delay", "error", "limited", "unauthorized", "malformed"]
    operation: Literal["any", "reserve", "commit", "release", "extend", "decide", "event", "balances"] = "any"
    times: int = Field(default=1, ge=1)
    delay_ms: int = Field(default=1000, ge=0, le=600_000)


def take(waiting: list[Fault], operation: str) -> Fault | None:
    """Return the first waiting fault for this operation, if any, and count it as used."""
    fault = next((each for each in waiting if each.operation in {"any", operation}), None)
    if fault:
        fault.times -= 1
        waiting[:] = [each for each in waiting if each.times]
    return fault
