"""Pages of the record of calls: a list to search, and one call."""

from collections.abc import Mapping
from datetime import timedelta

from pydantic import ValidationError

from ..calls.query import CallQuery
from ..core.problems import Problem
from ..web.viewer import Viewer
from .figures import Context
from .service import Dashboard

CALLS_PER_PAGE = 25
SEARCHED = 20_000
"""A page looks through so many calls at most for texts that no index has: rare ones would take seconds."""
UNINDEXED = ("outcome", "model", "route", "end_user")


def query_of(viewer: Viewer, params: Mapping[str, str]) -> CallQuery:
    """Return the query in a query string of calls that `viewer` may see. Raises Problem: not_found, invalid_request."""
    try:
        query = CallQuery.model_validate({name: text for name, text in params.items() if text})
    except ValidationError:
        raise Problem("invalid_request") from None
    tenant = query.tenant or viewer.tenant or ""
    viewer.check(tenant)
    return query.model_copy(update={"tenant": tenant})


async def call_list(dashboard: Dashboard, query: CallQuery) -> Context:
    """Return the context of calls.html: a page of calls, and the address of the next one.

    `searched_to` is the time of the oldest call that was looked at, if the page could not look at all.
    """
    store, searched_to, asked = dashboard.services.store, None, query
    if not query.request_id and any(getattr(query, name) for name in UNINDEXED):
        searched_to = await store.horizon(query.model_copy(update=dict.fromkeys(UNINDEXED, "")), SEARCHED)
        asked = query.model_copy(update={"since": searched_to or query.since})
    calls, older = await store.latest(asked, CALLS_PER_PAGE + 1), ""
    if len(calls) > CALLS_PER_PAGE:
        last = calls[CALLS_PER_PAGE - 1]
        searched_to, older = None, query.address(before=last.at, before_id=last.id)
    elif searched_to:
        older = query.address(before=searched_to)
    return {"query": query, "calls": calls[:CALLS_PER_PAGE], "older": older, "searched_to": searched_to}


async def one_call(dashboard: Dashboard, viewer: Viewer, call_id: str) -> Context:
    """Return the context of call.html. Raises Problem not_found."""
    call = await dashboard.services.store.find(call_id)
    if call is None:
        raise Problem("not_found", "This call is not recorded.")
    viewer.check(call.tenant)
    return {"call": call, "ended": call.at + timedelta(milliseconds=call.duration_ms)}
