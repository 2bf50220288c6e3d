"""How much work a request makes: queries of a page, and checks of a caller's identity."""

import re
import sqlite3
from typing import Any

import httpx
import pytest

from {{ cookiecutter.__package }}.calls.models import Call
from {{ cookiecutter.__package }}.web.passwords import hash_password

from .answers import opened_app
from .stories import Tell, World

pytestmark = pytest.mark.filterwarnings("ignore:No directory at")
ORIGIN = "https://localhost"
LOGIN = "/dashboard/login"
MOST = 6
PAGES = (
    *("/dashboard/", "/dashboard/?q=acm&span=24h&by=model&page=9", "/dashboard/?show=attention"),
    *("/dashboard/tenants/acme", "/dashboard/tenants/acme?span=7d", "/dashboard/tenants/acme/fund"),
    *("/dashboard/calls", "/dashboard/calls?end_user=ada&tenant=acme", "/dashboard/calls/0"),
    *("/dashboard/audit", "/dashboard/audit?q=acme"),
)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What SQLite is asked of the app's database."""
    asked: list[str] = []
    connect: Any = sqlite3.connect

    def traced(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, *args, **kwargs)
        if "app.sqlite3" in str(database):
            connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", traced)
    return asked


@pytest.mark.parametrize("tell", [{"SECRET_KEY": "k" * 32}], indirect=True)
def test_no_page_makes_more_than_six_queries_with_cold_caches(queries: list[str], tell: Tell) -> None:
    async def story(world: World) -> None:
        calls = [Call(id=str(n), tenant="acme", route="chat", model=f"m-{n % 3}", outcome="charged") for n in range(9)]
        await world.services.store.insert(calls)
        await world.services.registry.save_operator("olga", hash_password("a long password"))
        async with opened_app(world) as app, browser(app) as client:
            form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', (await client.get(LOGIN)).text))
            form |= {"username": "olga", "password": "a long password"}
            assert (await client.post(LOGIN, data=form)).status_code == 303
            made = {}
            for page in PAGES:
                queries.clear()
                answer = await client.get(page)
                assert answer.status_code == 200, answer.text
                made[page] = [query for query in queries if re.match(r"\W*(SELECT|WITH)\b", query)]
        assert all(made.values()), "each page asks the database"
        many = {page: found for page, found in made.items() if len(found) > MOST}
        assert not many, {page: len(found) for page, found in many.items()}

    tell(story)


@pytest.mark.parametrize("tell", [{"SECRET_KEY": "k" * 32}], indirect=True)
@pytest.mark.parametrize(("path", "body"), [("/api/chat", {"prompt": "Hello"}), ("/v1/models", None)])
def test_a_caller_is_identified_once_per_request(tell: Tell, path: str, body: dict[str, Any] | None) -> None:
    async def story(world: World) -> None:
        seen: list[Any] = []

        async def identify(headers: Any) -> str:
            seen.append(headers)
            return "acme"

        world.services.identity.identify = identify  # type: ignore[method-assign]
        async with opened_app(world) as app, browser(app) as client:
            answer = await client.request("POST" if body else "GET", path, json=body)
        assert (answer.status_code, len(seen)) == (200, 1)

    tell(story)


def browser(app: Any) -> httpx.AsyncClient:
    headers = {"Accept": "text/html", "Origin": ORIGIN}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN, headers=headers)
