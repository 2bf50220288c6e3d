"""Pages of the record of calls: a list to search, and one call."""

from collections.abc import Mapping

from ..calls.query import CallQuery
from ..core.problems import Problem
from ..web.viewer import Viewer
from .figures import Context
from .service import Dashboard

CALLS_PER_PAGE = 25
SEARCHED = 10_000
"""A page looks through so many calls at most for texts that no index has: rare ones would take seconds."""
UNINDEXED = dict.fromkeys(("outcome", "model", "route", "end_user"), "")


def query_of(viewer: Viewer, params: Mapping[str, str]) -> CallQuery:
    """Return the query in a query string of calls that `viewer` may see. Raise Problem: not_found, invalid_request."""
    query = CallQuery.of(params)
    viewer.check(query.tenant or viewer.tenant)
    return query.model_copy(update={"tenant": query.tenant or viewer.tenant or ""})


async def call_list(dashboard: Dashboard, query: CallQuery) -> Context:
    """Return the context of calls.html. There may be more calls that match before `searched_to`, if it is not None."""
    searched_to = await dashboard.services.store.horizon(query.model_copy(update=UNINDEXED), SEARCHED)
    since = searched_to or query.since
    calls = await dashboard.services.store.latest(query.model_copy(update={"since": since}), CALLS_PER_PAGE + 1)
    return {"query": query, "calls": calls[:CALLS_PER_PAGE], "more": calls[CALLS_PER_PAGE:], "searched_to": searched_to}


async def one_call(dashboard: Dashboard, viewer: Viewer, call_id: str) -> Context:
    """Return the context of call.html. Raise Problem not_found."""
    for call in await dashboard.services.store.latest(query_of(viewer, {"id": call_id}), 1):
        return {"call": call}
    raise Problem("not_found", "This call is not recorded.")
