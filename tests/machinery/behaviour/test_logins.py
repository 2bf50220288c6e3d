"""What a flood of sign-ins costs, and where the pages lead behind a proxy."""

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from ..browsing import LOGIN, browser, follow_link, hidden_fields, sign_in
from ..running import ACME, HTTP, App, free_port, process, wait_ready, wait_until


@contextmanager
def counting(installed: App) -> Iterator[tuple[App, Path]]:
    """Serve with counting.py. Yield its log too."""
    port, log = free_port(), installed.folder / f"hashes-{secrets.token_hex(4)}"
    log.touch()
    settings = {**installed.environment, "PORT": str(port), "HASHES": str(log)}
    with process(["tests.behaviour.counting", "serve"], installed.folder, settings) as running:
        url = f"http://127.0.0.1:{port}"
        wait_ready(f"{url}/healthz", running)
        yield App(installed.folder, installed.environment, url, running, installed.tenants, installed.operator), log


def hashes(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()]


def log_in(app: App, name: str, fields: dict[str, str], cookies: httpx.Cookies) -> int:
    form = {**fields, "username": name, "password": "a wrong password"}
    return httpx.post(f"{app.url}{LOGIN}", data=form, cookies=cookies, timeout=60).status_code


def test_two_passwords_are_hashed_at_a_time_and_calls_are_served_meanwhile(installed: App) -> None:
    with counting(installed) as (app, log), browser(app) as client, ThreadPoolExecutor(40) as threads:
        fields = hidden_fields(client.get(LOGIN))
        logins = [threads.submit(log_in, app, f"name-{n}", fields, client.cookies) for n in range(40)]
        wait_until(lambda: hashes(log), what="the first hash")
        headers = app.tenants[ACME]["headers"]
        call = HTTP.post(f"{app.url}/api/chat", headers=headers, json={"prompt": "Hello"}, timeout=30)
        assert call.status_code == 200
        answers = Counter(login.result() for login in logins)
    assert answers == {401: 20, 429: 20}
    assert len(hashes(log)) == 20
    assert max(hashes(log)) == 2


def test_an_address_is_refused_before_a_password_is_hashed(installed: App) -> None:
    with counting(installed) as (app, log), browser(app) as client:
        fields = hidden_fields(client.get(LOGIN))
        answers = [log_in(app, f"name-{number}", fields, client.cookies) for number in range(22)]
        assert answers == [401] * 20 + [429] * 2
        assert len(hashes(log)) == 20
        assert sign_in(client, **app.operator).status_code == 429
        assert follow_link(client, "/dashboard/link/guess").status_code == 429


def test_pages_lead_below_the_path_that_a_proxy_adds(installed: App) -> None:
    tenant = f"/dashboard/tenants/{ACME}"
    with installed.serving(ROOT_PATH="/chat") as app, browser(app) as client, browser(app) as reader:
        login = client.get(tenant).headers["location"]
        assert login.startswith(f"/chat{LOGIN}?next=")
        form = {**hidden_fields(client.get(login)), **app.operator}
        assert client.post(f"/chat{LOGIN}", data=form).headers["location"] == f"/chat{tenant}"
        page = client.get(f"/chat{tenant}").text
        paths = {*re.findall(r'(?:href|action|src)="([^"#?][^"#]*)', page)}
        assert len(paths) > 8
        assert all(path.startswith(("/chat/dashboard/", "/chat/static/")) for path in paths)
        made = client.post(f"/chat{tenant}/link", data=hidden_fields(client.get(f"/chat{tenant}/link"))).text
        link = made.partition('<code id="link">')[2].partition("</code>")[0]
        assert link.startswith(f"{app.url}/chat/dashboard/link/")
        assert follow_link(reader, link).headers["location"] == "/chat/dashboard/"
        assert reader.get(f"/chat{tenant}").status_code == 200
