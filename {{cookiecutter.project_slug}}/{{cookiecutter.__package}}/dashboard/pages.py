"""Renders pages: templates, their filters, and ETags of pages that poll."""

import hashlib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..calls.thresholds import THRESHOLDS
from ..core import about
from ..core.money import format_usd
from ..core.problems import OUTCOMES
from .figures import AUDIT_PER_PAGE, REFUSALS_OF_H, STATES, ledger_state, percent, tenant_state, trouble

STATIC = Path(__file__).with_name("static")
TEMPLATES = Path(__file__).with_name("templates")
LOGIN = "/dashboard/login"

_CSRF = Markup("<!-- CSRF field -->")


class Rendered(NamedTuple):
    """A page and its ETag. `html` is None if the client has it already."""

    html: str | None
    etag: str


def usd(microcents: int, places: int | None = None) -> str:
    """Format an amount: `$1,234.50`, `-$0.00013`. Without `places`, small ones keep two significant digits."""
    amount = abs(Decimal(microcents)).scaleb(-8)
    if places is None or not amount:
        places = 2 if amount >= 1 or not amount else min(8, max(2, 1 - amount.adjusted()))
    return f"{'-' if microcents < 0 else ''}${amount:,.{places}f}"


def moment(at: datetime) -> str:
    """Format a time: `2026-11-21 21:35:10`."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def day(at: datetime) -> str:
    """Format a day: `24 Nov`."""
    return f"{at.day} {at:%b}"


def hour(at: datetime) -> str:
    """Format a time to the hour: `24 Nov, 14:00`."""
    return f"{day(at)}, {at:%H}:00"


def reason(outcome: str) -> str:
    """Return a call's outcome in words."""
    return OUTCOMES[outcome][1] if outcome in OUTCOMES else outcome.capitalize()


def duration(seconds: float) -> str:
    """Format a duration: `45 s`, `12 min`, `3 h`, `4 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def login_address(path: str) -> str:
    """Return the address of the login page that leads back to `path`."""
    return LOGIN if path == "/dashboard/" else f"{LOGIN}?next={quote(path)}"


templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.globals |= {"title": about.TITLE, "states": STATES, "root": "", "static": "/static/{}".format}
templates.globals |= {"audit_per_page": AUDIT_PER_PAGE, "refusal_hours": REFUSALS_OF_H, "thresholds": THRESHOLDS}
FILTERS = (usd, moment, day, hour, reason, duration, ledger_state, percent, tenant_state, trouble)
templates.filters |= {show.__name__: show for show in FILTERS} | {"exact_usd": format_usd}


def render(template: str, **context: object) -> str:
    """Return a page as HTML. `base.html` lists what every page needs in its context."""
    page = templates.get_template(template).render({"layout": "base.html"} | context)
    return page.replace('="/', f'="{templates.globals["root"]}/')  # ROOT_PATH; text has its quotes escaped


def render_live(template: str, *, known: str, fragment: bool, csrf: Markup, **context: object) -> Rendered:
    """Return a page that polls: all of it, or only the part that changes (`fragment`).

    `known` is the client's If-None-Match. The CSRF field differs each time, so the ETag leaves it out.
    """
    page = render(template, layout="live.html" if fragment else "base.html", csrf=_CSRF, **context)
    etag = f'"{hashlib.sha256(page.encode()).hexdigest()[:32]}"'
    return Rendered(None if etag in known else page.replace(_CSRF, csrf), etag)
