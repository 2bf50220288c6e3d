"""Polling: pages stay up to date and cause few calls to Cycles."""

import gzip
import re

import httpx

from ..browsing import browser, follow_link
from ..running import ACME, App, Emulator, wait_until
from .test_dashboard_tenants import chat

POLL = {"HX-Request": "true"}


def test_a_poll_gets_the_changed_part_or_304(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")["id"]
    path = f"/dashboard/tenants/{tenant}"
    assert 'hx-get=""' in operator.get(path).text  # this page

    def settled() -> str:
        first, second = (operator.get(path, headers=POLL).headers["etag"] for _ in range(2))
        return first if first == second else ""

    tag = wait_until(settled, what="two polls alike")
    same = operator.get(path, headers={**POLL, "If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    assert chat(app, tenant).status_code == 200

    def changed() -> str:
        part = operator.get(path, headers={**POLL, "If-None-Match": tag}).text
        return part if "Charged" in part else ""

    part = wait_until(changed, what="the call")
    assert "<html" not in part
    assert "csrf" not in part


def test_a_poll_without_a_session_reloads_the_page(stranger: httpx.Client) -> None:
    answer = stranger.get("/dashboard/", headers=POLL)
    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")


def test_many_viewers_cause_one_call_to_cycles(app: App, operator: httpx.Client) -> None:
    # housekeeping asks every 30 s whether Cycles is ready, so at most once in two tries
    assert min(calls_of_viewers(app, operator), calls_of_viewers(app, operator)) == 1


def calls_of_viewers(app: App, operator: httpx.Client) -> float:
    """Return how often Cycles was asked while two people looked at a new tenant ten times."""
    tenant = app.add_tenant("1.00")["id"]
    link = httpx.URL(app.done("tenants", "link", tenant)["url"]).path
    with browser(app) as viewer:
        follow_link(viewer, link)
        before = app.metric("cycles_upstream_calls_total")
        for client in (operator, viewer) * 5:
            assert "$1.00" in client.get(f"/dashboard/tenants/{tenant}").text
        operator.get("/dashboard/", params={"q": tenant})
    return app.metric("cycles_upstream_calls_total") - before


def test_the_balances_of_an_active_tenant_are_not_read_again(
    app: App, operator: httpx.Client, emulator: Emulator
) -> None:
    tenant = app.add_tenant("1.00")["id"]
    assert chat(app, tenant).status_code == 200
    wait_until(lambda: emulator.live_holds(tenant) == 0, what="the settlement")
    remaining = emulator.ledger(tenant)["remaining"]
    path = f"/dashboard/tenants/{tenant}"
    before = app.metric("cycles_upstream_calls_total")
    wait_until(lambda: f'<data value="{remaining}"' in operator.get(path).text, what="what the call brought")
    assert app.metric("cycles_upstream_calls_total") == before


def test_the_first_paint_is_small(operator: httpx.Client) -> None:
    page = operator.get(f"/dashboard/tenants/{ACME}")
    assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
    assert {asset.rpartition(".")[2] for asset in assets} == {"css", "js", "svg"}
    bodies = [page.content, *(operator.get(asset).content for asset in assets)]
    assert sum(len(gzip.compress(body)) for body in bodies) < 50 * 1024
