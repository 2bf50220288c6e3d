"""The calls of a tenant as CSV, made while it is sent."""

import csv
import io
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ..core.money import format_usd
from .record import CallRecord

if TYPE_CHECKING:
    from .store import CallStore

ROWS_AT_ONCE = 1_000
COLUMNS = (
    *("time", "route", "model", "end_user", "input_tokens", "output_tokens"),
    *("cost_usd", "hold_usd", "uncharged_usd", "outcome", "duration_ms", "request_id", "id"),
)


async def calls_as_csv(store: "CallStore", tenant: str) -> AsyncIterator[str]:
    """All calls that are kept of a tenant, newest first, a thousand at a time. Amounts are in USD, exact."""
    yield _lines([COLUMNS])
    last: CallRecord | None = None
    while calls := await store.latest(tenant, ROWS_AT_ONCE, last):
        yield _lines([_cells(call) for call in calls])
        last = calls[-1]


def _cells(call: CallRecord) -> tuple[str, ...]:
    counts = (str(call.input_tokens), str(call.output_tokens))
    amounts = (format_usd(call.cost), format_usd(call.hold), format_usd(call.uncharged))
    names = (_inert(call.route), _inert(call.model), _inert(call.end_user or ""))
    rest = (call.outcome, str(call.duration_ms), call.request_id, call.id)
    return (call.at.isoformat(), *names, *counts, *amounts, *rest)


def _inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _lines(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
