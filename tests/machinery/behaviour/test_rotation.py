"""Every secret that is a list is rotated, one machine restarted after the other: nobody notices."""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import httpx
import pytest

import dev_identity
import dev_tenancy

from ..browsing import browser, sign_in
from ..running import HTTP, App, Emulator, wait_until

HELLO = {"prompt": "Hello"}


class Machines:
    """Two that serve, and the balancer in front of them."""

    def __init__(self, app: App, stack: ExitStack) -> None:
        self._app = app
        self._running = [stack.enter_context(ExitStack()) for _ in range(2)]
        self._serving: dict[int, str] = {}
        self._asked = Counter[int]()
        self._turns = count()
        self._lock = threading.Lock()

    def restart(self, **settings: str) -> None:
        """One after the other, each when nobody waits for it any more."""
        for number, running in enumerate(self._running):
            with self._lock:
                self._serving.pop(number, None)
            wait_until(lambda number=number: self._asked[number] == 0)
            running.close()
            journal = str(self._app.folder / f"journal-{number}")
            serving = running.enter_context(self._app.serving(CYCLES_JOURNAL_DIR=journal, **settings))
            self._serving[number] = serving.url

    @contextmanager
    def next(self) -> Iterator[str]:
        """Whose turn it is: its address."""
        with self._lock:
            serving = [*self._serving]
            number = serving[next(self._turns) % len(serving)]
            url = self._serving[number]
            self._asked[number] += 1
        try:
            yield url
        finally:
            with self._lock:
                self._asked[number] -= 1


class Caller:
    """Somebody who calls, scrapes and looks, all the time, by what was last given."""

    def __init__(self, app: App, machines: Machines, stack: ExitStack) -> None:
        self._app, self._machines, self._stack = app, machines, stack
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.done = threading.Event()

    def given(self, environment: dict[str, str], api_key: str | None) -> None:
        """From now on with these secrets."""
        with self._machines.next() as url:
            pages = self._stack.enter_context(browser(App(self._app.folder, environment, url)))
            assert sign_in(pages, "olga", "a long password").status_code == 303
        caller = dev_identity.headers("acme", api_key, environment, self._app.done)
        self._sends: list[tuple[httpx.Client, str, str, dict[str, Any]]] = [
            (HTTP, "POST", "/api/chat", {"json": HELLO, "headers": caller}),
            (HTTP, "GET", "/metrics", {"headers": {"Authorization": f"Bearer {environment['METRICS_TOKEN']}"}}),
            (pages, "GET", "/dashboard/", {}),
        ]

    def go_on(self) -> None:
        while not self.done.is_set():
            for client, method, path, sent in self._sends:
                with self._machines.next() as url:
                    answer = client.request(method, url + path, timeout=30, **sent)
                self.statuses[path, answer.status_code] += 1


@pytest.mark.timeout(300)
def test_no_request_fails_while_every_secret_is_rotated(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    api_key = app.done("tenants", "add", "acme", "--name", "Acme", "--budget", "100.00")["api_key"]
    app.done("operators", "add", "olga", "--password-stdin", stdin="a long password")
    made = {**dev_tenancy.environment(), **dev_identity.environment()}
    made |= {name: secrets.token_urlsafe(32) for name in ("SECRET_KEY", "METRICS_TOKEN")}
    lists = [name for name in made if name.endswith(("_SECRET", "SECRET_KEY", "METRICS_TOKEN", "JWT_PUBLIC_KEY"))]
    known = {name: f"{app.environment[name]},{made[name]}" for name in lists}
    first = {name: f"{made[name]},{app.environment[name]}" for name in lists}
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        machines = Machines(app, stack)
        machines.restart()
        caller = Caller(app, machines, stack)
        caller.given(app.environment, api_key)
        going = pool.submit(caller.go_on)
        try:
            machines.restart(**known)
            machines.restart(**first)
            caller.given(app.environment | made, api_key)
            if "TENANT_KEYS_SECRET" in made:
                App(app.folder, app.environment | first).done("tenants", "rotate", "acme")
            machines.restart(**made)
        finally:
            caller.done.set()
        going.result()
    assert {status for _, status in caller.statuses} == {200}, caller.statuses
    assert min(caller.statuses.values()) > 5
    assert emulator.live_holds("acme") == 0
