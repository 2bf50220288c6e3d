"""Cycles fails in every way that it can: nothing is lost, nothing is charged twice, nobody waits long."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ..browsing import browser, sign_in, vital
from ..running import HTTP, TLS, App, Emulator, installed_app, run_emulator, unsettled, wait_until
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
BOTH = (("/api/chat", HELLO), ("/api/summarize", {"text": "Hello"}))


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "error", "malformed"])
@pytest.mark.parametrize("operation", ["reserve", "commit"])
def test_single_fault_of_cycles_changes_neither_answer_nor_charge(
    app: App, api: httpx.Client, emulator: Emulator, kind: str, operation: str
) -> None:
    tenant = app.add_tenant("1.00")
    api.post("/api/chat", json=HELLO, headers=tenant["headers"])
    once = emulator.ledger(tenant["id"])["spent"]
    emulator.fault(kind, operation)
    answer = api.post("/api/chat", json=HELLO, headers=tenant["headers"])
    assert answer.status_code == 200, answer.text
    wait_until(lambda: emulator.ledger(tenant["id"])["spent"] == 2 * once, 5, "charged once more")
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 5, "no hold is left")


def test_redis_outage_is_not_reported_as_a_bad_key(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.fault("unauthorized", "any", times=2)
    try:
        answer = api.post("/api/chat", json=HELLO, headers=tenant["headers"])
    finally:
        emulator.clear_faults()
    assert_problem(answer, 503, "budget_unavailable")


def test_outage_refuses_calls_quickly_and_they_pass_again_after_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("outage")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
        port = int(emulator.url.rpartition(":")[2])
    with app.serving() as serving, httpx.Client(base_url=serving.url, timeout=30, verify=TLS) as api:
        for _ in range(5):
            assert_problem(api.post("/api/chat", json=HELLO, headers=tenant["headers"]), 503, "budget_unavailable")
        began = time.monotonic()
        assert_problem(api.post("/api/chat", json=HELLO, headers=tenant["headers"]), 503, "budget_unavailable")
        assert time.monotonic() - began < 1
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
        with run_emulator(folder, port):
            wait_until(lambda: chat_if_served(api, tenant["headers"]), 15, "calls pass again")


def test_failing_open_is_bounded_charged_afterwards_and_shown_to_operators(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("fail-open")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant, poor = app.add_tenant("1.00"), app.add_tenant("0.0001")
        app.done("operators", "add", "olga", "--password-stdin", stdin="a long password")
        port = int(emulator.url.rpartition(":")[2])
    settings = {"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "0.005", "LLM_MAX_TOKENS": "400"}
    with (
        app.serving(**settings) as serving,
        httpx.Client(base_url=serving.url, timeout=30, verify=TLS) as api,
        browser(serving) as operator,
    ):
        assert sign_in(operator, "olga", "a long password").status_code == 303
        answers = [api.post("/api/chat", json=HELLO, headers=tenant["headers"]) for _ in range(40)]
        # another tenant is served all the same, and a summary as well
        owing = [api.post(path, json=body, headers=poor["headers"]).json() for path, body in BOTH]
        owed = sum(answer["cost"]["amount"] for answer in owing)
        paid = [answer.json()["cost"]["amount"] for answer in answers if answer.status_code == 200]
        assert 0 < sum(paid) <= 500_000
        assert_problem(answers[-1], 503, "budget_unavailable")
        assert "Cycles is unreachable" in operator.get("/dashboard/").text
        backlog = f"{len(paid) + len(owing)}, oldest"
        wait_until(lambda: vital(operator, "Pending settlements").startswith(backlog), 5, "the page shows the backlog")
        with run_emulator(folder, port) as back:
            again = wait_until(lambda: chat_if_served(api, tenant["headers"]), 15, "calls pass again")
            paid.append(again["cost"]["amount"])
            wait_until(lambda: back.ledger(tenant["id"])["spent"] == sum(paid), 5, "the spend is booked")
            wait_until(lambda: back.ledger(poor["id"])["spent"] == 10_000, 5, "as far as the ledger goes")
            uncharged = "budget_uncharged_microcents_total"
            wait_until(lambda: serving.metric(uncharged) == owed - 10_000, 5, "the rest is counted")
        assert serving.metric("budget_unguarded_calls_total") == len(paid) - 1 + len(owing)
        wait_until(lambda: vital(operator, "Pending settlements") == "None", 15, "the page tells of no backlog")
        assert "Cycles is unreachable" not in operator.get("/dashboard/").text


def test_fail_open_limit_holds_over_all_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("workers")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
    settings = {"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "0.005", "LLM_MAX_TOKENS": "400"}

    def chat(_: int) -> httpx.Response:  # on a connection of its own, which any of the workers accepts
        return HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"], timeout=30)

    with app.serving(**settings, WORKERS="4") as serving, ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(chat, range(100)))
        assert {answer.status_code for answer in answers} == {200, 503}
        paid = [answer.json()["cost"]["amount"] for answer in answers if answer.status_code == 200]
        assert 250_000 < sum(paid) <= 500_000
        assert serving.metric("budget_unguarded_calls_total") == unsettled(folder / "journal") == len(paid)


def test_unwritable_outbox_refuses_paid_calls_with_503(installed: App) -> None:
    tenant = installed.add_tenant()
    with installed.serving(CYCLES_JOURNAL_DIR="/proc/journal") as serving:
        assert HTTP.get(f"{serving.url}/readyz").json()["checks"]["journal"] == "not writable"
        for path, body in BOTH:
            answer = HTTP.post(f"{serving.url}{path}", json=body, headers=tenant["headers"])
            assert_problem(answer, 503, "budget_unavailable")


def chat_if_served(api: httpx.Client, headers: dict[str, str]) -> Any:
    answer = api.post("/api/chat", json=HELLO, headers=headers)
    return answer.json() if answer.status_code == 200 else None
