"""Calls as CSV, streamed."""

import csv
import io
from collections.abc import AsyncIterator, Iterable

from ..core.money import format_usd
from .models import Call
from .query import CallQuery
from .store import CallStore

ROWS_AT_ONCE = 1_000
COLUMNS = (
    *("time", "route", "model", "end_user", "input_tokens", "output_tokens", "cost_usd", "hold_usd"),
    *("uncharged_usd", "outcome", "duration_ms", "request_id", "id", "tenant", "reservation_id"),
)


async def calls_as_csv(store: CallStore, query: CallQuery) -> AsyncIterator[str]:
    """Yield all recorded calls that match, newest first. Amounts are exact, in USD."""
    yield _csv([COLUMNS])
    while calls := await store.latest(query, ROWS_AT_ONCE):
        yield _csv(map(_row, calls))
        query = query.after(calls[-1].at, calls[-1].id)


def _row(call: Call) -> tuple[object, ...]:
    names = (_text(call.route), _text(call.model), _text(call.end_user or ""))
    amounts = (format_usd(call.cost), format_usd(call.hold), format_usd(call.uncharged))
    rest = (call.outcome, call.duration_ms, call.request_id, call.id, call.tenant, call.reservation_id)
    return (call.at.isoformat(), *names, call.input_tokens, call.output_tokens, *amounts, *rest)


def _text(text: str) -> str:
    """Return text that no spreadsheet runs as a formula (OWASP: CSV injection).

    Some skip blanks and invisible characters before `=`, or read its full-width form: allow what is harmless.
    """
    return text if text[:1].isalnum() or text[:1] in "#/_" else f"'{text}"


def _csv(rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)  # `;` in a text separates cells in some places
    return text.getvalue()
