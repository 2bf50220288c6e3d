"""That the emulator of this project works. The template's tests hold it against what the real servers answered."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ..running import ADMIN_KEY, TLS, Emulator, run_emulator

UNIT = "USD_MICROCENTS"


def money(amount: int) -> dict[str, Any]:
    return {"unit": UNIT, "amount": amount}


@pytest.fixture(scope="module")
def cycles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with run_emulator(tmp_path_factory.mktemp("smoke")) as running:
        yield running


@pytest.fixture(scope="module")
def http(cycles: Emulator) -> Iterator[httpx.Client]:
    """Calls with the key of a tenant whose budget is 1000."""
    admin = {"X-Admin-API-Key": ADMIN_KEY}
    with httpx.Client(base_url=cycles.url, timeout=30, verify=TLS) as client:

        def create(what: str, body: dict[str, Any]) -> Any:
            return client.post(f"/v1/admin/{what}", json=body, headers=admin).raise_for_status().json()

        create("tenants", {"tenant_id": "smoke", "name": "Smoke"})
        key = create("api-keys", {"tenant_id": "smoke", "name": "app"})["key_secret"]
        create("budgets", {"tenant_id": "smoke", "scope": "tenant:smoke", "unit": UNIT, "allocated": money(1000)})
        client.headers["X-Cycles-API-Key"] = key
        yield client


def reserve(http: httpx.Client, amount: int, key: str) -> httpx.Response:
    action = {"kind": "llm.completion", "name": "model"}
    body = {"idempotency_key": key, "subject": {"tenant": "smoke"}, "action": action, "estimate": money(amount)}
    return http.post("/v1/reservations", json=body)


def test_a_commit_charges_what_was_used_and_gives_back_the_rest(http: httpx.Client) -> None:
    held = reserve(http, 400, "r1")
    assert held.headers["X-Cycles-Emulator"]
    assert held.json()["balances"][0]["remaining"] == money(600)
    commit = {"idempotency_key": "c1", "actual": money(150)}
    charged = http.post(f"/v1/reservations/{held.json()['reservation_id']}/commit", json=commit).json()
    assert (charged["charged"], charged["released"]) == (money(150), money(250))
    [balance] = http.get("/v1/balances", params={"tenant": "smoke"}).json()["balances"]
    assert [balance[name] for name in ("remaining", "reserved", "spent")] == [money(850), money(0), money(150)]


def test_more_than_is_left_is_refused(http: httpx.Client) -> None:
    refused = reserve(http, 1001, "r2")
    assert (refused.status_code, refused.json()["error"]) == (409, "BUDGET_EXCEEDED")


def test_a_fault_strikes_as_often_as_it_was_told(cycles: Emulator, http: httpx.Client) -> None:
    cycles.fault("error", "reserve")
    assert [reserve(http, 1, "r3").status_code for _ in range(2)] == [500, 200]
