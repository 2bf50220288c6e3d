"""How the pages are made: the templates, their filters, and the tag that tells whether anything changed."""

import hashlib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core import about
from ..core.money import format_usd
from ..core.problems import OUTCOMES
from .figures import AUDIT_PER_PAGE, STATES
from .records import FIRST_SORT, Wanted

STATIC = Path(__file__).with_name("static")
TEMPLATES = Path(__file__).with_name("templates")

_FORM_TOKEN = Markup("<!-- the form's token -->")


class Rendered(NamedTuple):
    """A page and its ETag. `html` is None when it is what the client has already."""

    html: str | None
    etag: str


def usd(microcents: int, places: int | None = None) -> str:
    """An amount for people: `$1,234.50`, `-$0.00013`. Without `places`, small ones keep two significant digits."""
    amount = abs(Decimal(microcents)).scaleb(-8)
    if places is None or not amount:
        places = 2 if amount >= 1 or not amount else min(8, max(2, 1 - amount.adjusted()))
    return f"{'-' if microcents < 0 else ''}${amount:,.{places}f}"


def moment(at: datetime) -> str:
    """A time in UTC, as people read it: `2026-11-21 21:35:10`."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def day(at: datetime) -> str:
    """`24 Nov`."""
    return f"{at.day} {at:%b}"


def hour(at: datetime) -> str:
    """A time in UTC that is not known to the minute: `24 Nov, 14:00`."""
    return f"{day(at)}, {at:%H}:00"


def reason(outcome: str) -> str:
    """How a call ended, in words: an outcome of calls/record.py."""
    return OUTCOMES[outcome][1] if outcome in OUTCOMES else outcome.capitalize()


def span(seconds: float) -> str:
    """How long: `45 s`, `12 min`, `3 h`, `4 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def address(wanted: Wanted, **changes: object) -> str:
    """The query string for the table of tenants as it is wanted, but for `changes` (sort, order, page, show, q)."""
    now = {"q": wanted.query, "show": "attention" if wanted.attention else "", "sort": wanted.sort}
    now |= {"order": "desc" if wanted.descending else "", "page": ""} | {name: str(to) for name, to in changes.items()}
    if now["sort"] == FIRST_SORT:
        now["sort"] = ""
    return "?" + urlencode({name: value for name, value in now.items() if value})


_templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {"title": about.TITLE, "states": STATES, "static": "/static/{}".format, "address": address}
_templates.globals["audit_per_page"] = AUDIT_PER_PAGE
_templates.filters |= {show.__name__: show for show in (usd, moment, day, hour, reason, span)}
_templates.filters["exact_usd"] = format_usd


def render(template: str, **context: object) -> str:
    """A page's HTML. `base.html` says which of `context` every page needs; a `static` in it names static files."""
    return _templates.get_template(template).render({"layout": "base.html"} | context)


def render_live(template: str, *, known: str, fragment: bool, csrf: Markup, **context: object) -> Rendered:
    """A page that asks again and again whether it has changed: all of it, or only the part that does (`fragment`).

    `known` is the client's If-None-Match. The form's token, which is another each time, is no change.
    """
    layout = "live.html" if fragment else "base.html"
    page = render(template, layout=layout, csrf=_FORM_TOKEN, **context)
    etag = f'"{hashlib.sha256(page.encode()).hexdigest()[:32]}"'
    return Rendered(None if etag in known else page.replace(_FORM_TOKEN, csrf), etag)
