"""One emulator and one app for all behaviour tests; a test that harms them starts its own by `running`."""

import os
import secrets
from collections.abc import Iterator

import httpx
import pytest

from .browsing import browser, sign_in
from .live import LIVE, TAG
from .running import ACME, ADDED, GLOBEX, TLS, App, Emulator, installed_app, run_emulator


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One for all; in the live suite the Cycles that the environment names."""
    if LIVE:
        cycles = Emulator(os.environ["CYCLES_BASE_URL"].rstrip("/"), os.environ["CYCLES_ADMIN_URL"].rstrip("/"))
        yield cycles
        for tenant in ADDED:  # leave nothing there that could spend
            if TAG in tenant:
                cycles.close(tenant)
        return
    with run_emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator) -> App:
    """The app, set up with the tenants `acme` and `globex` and an operator, not serving."""
    app = installed_app(tmp_path_factory.mktemp("app"), emulator.url)
    app.add_tenant("5.00", ACME)
    app.add_tenant("5.00", GLOBEX)
    app.operator |= {"username": "olga", "password": secrets.token_urlsafe(12)}
    app.done("operators", "add", "olga", "--password-stdin", stdin=app.operator["password"])
    return app


@pytest.fixture(scope="session")
def app(installed: App) -> Iterator[App]:
    with installed.serving() as serving:
        yield serving


@pytest.fixture(scope="session")
def api(app: App) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url, timeout=30, verify=TLS) as client:
        yield client


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Emulator]]:
    """An app and an emulator that no other test uses, so that any request may be harmed."""
    folder = tmp_path_factory.mktemp("alone")
    with run_emulator(folder) as emulator:
        yield installed_app(folder, emulator.url), emulator


@pytest.fixture
def acme(app: App) -> dict[str, str]:
    """The headers that a caller of the tenant acme sends."""
    headers: dict[str, str] = app.tenants[ACME]["headers"]
    return headers


@pytest.fixture
def stranger(app: App) -> Iterator[httpx.Client]:
    with browser(app) as client:
        yield client


@pytest.fixture(scope="session")
def session(app: App) -> httpx.Cookies:
    """What a browser keeps of an operator's sign-in: one for all, for checking a password takes long."""
    with browser(app) as client:
        assert sign_in(client, **app.operator).status_code == 303
        return client.cookies


@pytest.fixture
def operator(app: App, session: httpx.Cookies) -> Iterator[httpx.Client]:
    """An operator's browser, for tests that do not end the session."""
    with browser(app) as client:
        client.cookies = session
        yield client
