"""One emulator and one app per test process. A test that breaks them starts its own with `running`."""

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
    """The shared emulator, or with LIVE=1 the Cycles at CYCLES_BASE_URL."""
    if LIVE:
        cycles = Emulator(os.environ["CYCLES_BASE_URL"].rstrip("/"), os.environ["CYCLES_ADMIN_URL"].rstrip("/"))
        yield cycles
        for tenant in ADDED:  # leave nothing behind that could spend
            if TAG in tenant:
                cycles.close(tenant)
        return
    with run_emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator) -> App:
    """The app with the tenants `acme` and `globex` and an operator, not serving yet."""
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
    """An app and an emulator of its own, for a test that breaks requests."""
    folder = tmp_path_factory.mktemp("alone")
    with run_emulator(folder) as emulator:
        yield installed_app(folder, emulator.url), emulator


@pytest.fixture
def acme(app: App) -> dict[str, str]:
    """The headers of a caller of acme."""
    headers: dict[str, str] = app.tenants[ACME]["headers"]
    return headers


@pytest.fixture
def stranger(app: App) -> Iterator[httpx.Client]:
    with browser(app) as client:
        yield client


@pytest.fixture(scope="session")
def session(app: App) -> httpx.Cookies:
    """An operator's cookies. Shared, because hashing a password is slow."""
    with browser(app) as client:
        assert sign_in(client, **app.operator).status_code == 303
        return client.cookies


@pytest.fixture
def operator(app: App, session: httpx.Cookies) -> Iterator[httpx.Client]:
    """A signed-in operator's browser, for tests that do not sign out."""
    with browser(app) as client:
        client.cookies = session
        yield client
