"""No route lets a tenant read or spend another's budget. The routes are those of OpenAPI."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest

from ..running import App, Emulator, wait_until
from ..strangers import strangers
from .test_refusals import assert_problem

Headers = list[tuple[str, str]]

PUBLIC = {"/healthz", "/readyz"}


class Route(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None


class Cast(NamedTuple):
    """Two tenants with budgets, and one that is suspended."""

    victim: dict[str, Any]
    other: dict[str, Any]
    suspended: dict[str, Any]


def routes(api: httpx.Client, tenant: str) -> Iterator[Route]:
    """Yield every route that is not public, with a valid body. `tenant` replaces the parameters of its path."""
    document = api.get("/openapi.json").json()
    for template, operations in document["paths"].items():
        if template in PUBLIC:
            continue
        path = re.sub(r"\{[^}]+\}", tenant, template)
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            yield Route(method.upper(), path, example(content["schema"], document) if content else None)


def example(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """Return a valid value of a schema: its example, or its required members."""
    if "$ref" in schema:
        return example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "object":
        return {name: example(schema["properties"][name], document) for name in schema.get("required", [])}
    if schema.get("type") == "array":
        return [example(schema["items"], document)]
    return {"integer": 1, "number": 1, "boolean": False}.get(schema.get("type", ""), "Hello")


def send(api: httpx.Client, route: Route, headers: Headers | dict[str, str]) -> httpx.Response:
    return api.request(route.method, route.path, json=route.body, headers=headers)


def balances(emulator: Emulator, cast: Cast) -> Any:
    """Return the ledgers of all, once no hold is live."""
    tenants = [tenant["id"] for tenant in cast]
    wait_until(lambda: not any(map(emulator.live_holds, tenants)), 10, "no hold is live")
    return [emulator.ledger(tenant) for tenant in tenants]


@pytest.fixture(scope="module")
def cast(app: App) -> Cast:
    cast = Cast(app.add_tenant("1.00"), app.add_tenant("1.00"), app.add_tenant("1.00"))
    app.done("tenants", "suspend", cast.suspended["id"])
    return cast


def test_every_route_is_found_and_accepts_its_example(api: httpx.Client, cast: Cast) -> None:
    found = list(routes(api, cast.other["id"]))
    assert {"/api/chat", "/api/summarize", "/api/budget/me", "/v1/models"} <= {route.path for route in found}
    refused = {route.path: send(api, route, cast.other["headers"]).status_code for route in found}
    assert {path: status for path, status in refused.items() if status != 200 and "models/" not in path} == {}


def test_no_route_serves_an_unproven_identity(app: App, api: httpx.Client, emulator: Emulator, cast: Cast) -> None:
    victim = cast.victim["id"]
    proofs = {"none": [], "only the tenant's name": [("X-Tenant-ID", victim)], **strangers(app, victim)}
    paths = {route.path for route in routes(api, victim)}  # Anthropic's clients send X-API-Key
    takes_x_api_key = {path for path in paths if path.startswith("/v1/")} if "/v1/messages" in paths else set()
    before = balances(emulator, cast)
    served = {
        f"{route.method} {route.path}, {wrong}": answer.status_code
        for route in routes(api, victim)
        for wrong, headers in proofs.items()
        if not (wrong == "a key in another place" and route.path in takes_x_api_key)
        and (answer := send(api, route, headers)).status_code != 401
    }
    assert served == {}
    assert balances(emulator, cast) == before


def test_no_route_serves_a_tenant_under_the_name_of_another(api: httpx.Client, emulator: Emulator, cast: Cast) -> None:
    before = balances(emulator, cast)
    for route in routes(api, cast.victim["id"]):
        answer = send(api, route, [*cast.other["headers"].items(), ("X-Tenant-ID", cast.victim["id"])])
        assert answer.status_code in (403, 422), route  # 422 where the identity is itself an X-Tenant-ID
    assert balances(emulator, cast) == before


def test_no_route_shows_or_charges_another_tenants_budget(api: httpx.Client, emulator: Emulator, cast: Cast) -> None:
    before = emulator.ledger(cast.victim["id"])
    for route in routes(api, cast.victim["id"]):
        answer = send(api, route, cast.other["headers"])
        if cast.victim["id"] in route.path:
            assert_problem(answer, 404, "not_found")
        assert cast.victim["id"] not in answer.text, route
    balances(emulator, cast)
    assert emulator.ledger(cast.victim["id"]) == before


def test_no_route_serves_a_suspended_tenant(api: httpx.Client, emulator: Emulator, cast: Cast) -> None:
    before = balances(emulator, cast)
    for route in routes(api, cast.suspended["id"]):
        assert_problem(send(api, route, cast.suspended["headers"]), 403, "tenant_suspended")
    assert balances(emulator, cast) == before


def test_two_tenants_side_by_side_each_pay_for_their_own_answers(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    tenants = app.add_tenant("1.00"), app.add_tenant("1.00")

    def call(number: int) -> int:
        # of different sizes, so that no charge can stand in for another
        path, member = ("/api/chat", "prompt") if number % 4 < 2 else ("/api/summarize", "text")
        body = {member: "Hello " * (number + 1), "max_tokens": 20 + number}
        answer = api.post(path, json=body, headers=tenants[number % 2]["headers"])
        assert answer.status_code == 200, answer.text
        amount: int = answer.json()["cost"]["amount"]
        return amount

    with ThreadPoolExecutor(8) as pool:
        costs = list(pool.map(call, range(60)))
    for number, tenant in enumerate(tenants):
        assert emulator.ledger(tenant["id"])["spent"] == sum(costs[number::2])
