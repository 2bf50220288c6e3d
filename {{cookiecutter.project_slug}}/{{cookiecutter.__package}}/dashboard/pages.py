"""Renders pages: templates, and ETags of pages that poll."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..calls.thresholds import THRESHOLDS
from ..core import about
from ..core.money import format_usd
from ..core.problems import OUTCOMES, Problem
from .actions import ACTIONS
from .figures import AUDIT_PER_PAGE, ledger_state, tenant_state
from .query import this_minute

STATIC = Path(__file__).with_name("static")
TEMPLATES = Path(__file__).with_name("templates")
LOGIN = "/dashboard/login"


def usd(microcents: int, places: int | None = None) -> str:
    """Format an amount: `$1,234.50`, `-$0.00013`. Without `places`, small ones keep two significant digits."""
    amount = abs(Decimal(microcents)).scaleb(-8)
    if places is None or not amount:
        places = 2 if amount >= 1 or not amount else min(8, max(2, 1 - amount.adjusted()))
    return f"{'-' if microcents < 0 else ''}${amount:,.{places}f}"


templates = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
templates.globals |= {"title": about.TITLE, "thresholds": THRESHOLDS, "outcomes": OUTCOMES, "actions": ACTIONS}
templates.globals |= {"audit_per_page": AUDIT_PER_PAGE, "now": this_minute, "root": ""}
templates.filters |= {"usd": usd, "exact_usd": format_usd, "ledger_state": ledger_state, "tenant_state": tenant_state}


def render(
    template: str, sent: Mapping[str, str], problem: Problem | None = None, **context: object
) -> tuple[str, int, dict[str, str]]:
    """Return a page's HTML, status and headers. `base.html` lists what every page needs in its context.

    `sent` are the request's headers. A poll (HX-Request) gets the part that changes with its ETag, or 304 if that is
    what the client has.
    """
    layout = "live.html" if "hx-request" in sent else "base.html"
    html = templates.get_template(template).render(layout=layout, problem=problem, **context)
    if problem:
        return html, problem.status, problem.headers
    if "hx-request" not in sent:
        return html, 200, {}
    etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:32]}"'
    is_known = etag in sent.get("if-none-match", "")
    return "" if is_known else html, 304 if is_known else 200, {"ETag": etag}
