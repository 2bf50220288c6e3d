"""Faults on demand, ledgers as tests need them, and who may ask for them."""

from collections.abc import Callable

import httpx
import pytest

from .server import ADMIN, App, Server


@pytest.fixture(autouse=True)
def no_fault_left(server: Server) -> None:
    server.control("DELETE", "faults")


def test_an_answer_dropped_before_it_took_effect_leaves_no_trace(server: Server, app: App) -> None:
    server.fault("drop_before", operation="reserve")
    with pytest.raises(httpx.TransportError):
        app.reserve(100)
    assert app.balance()["reserved"] == 0
    assert app.reserve(100).status_code == 200


def test_an_answer_dropped_after_it_took_effect_is_told_again_to_the_same_key(server: Server, app: App) -> None:
    server.fault("drop_after", operation="reserve")
    with pytest.raises(httpx.TransportError):
        app.reserve(100, idempotency_key="k")
    assert app.balance()["reserved"] == 100
    assert app.reserve(100, idempotency_key="k").status_code == 200
    assert app.balance()["reserved"] == 100


def test_a_dropped_commit_charges_once(server: Server, app: App) -> None:
    held = app.held(100)
    server.fault("drop_after", operation="commit", times=2)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            app.commit(held, 60, idempotency_key="c")
    assert app.commit(held, 60, idempotency_key="c").json()["charged"]["amount"] == 60
    assert app.balance()["spent"] == 60


def test_a_delayed_answer_comes_late_but_took_effect(server: Server, app: App) -> None:
    server.fault("delay", operation="event", delay_ms=60_000)
    with pytest.raises(httpx.ReadTimeout):
        server.http.post(
            "/v1/events",
            json=app.request("actual", 10, idempotency_key="late"),
            headers=app.headers,
            timeout=0.3,
        )
    assert app.balance()["spent"] == 10


def test_the_next_n_answers_fail_and_then_none(server: Server, app: App) -> None:
    server.fault("error", operation="any", times=2)
    answers = [app.reserve(1), app.decide(1), app.reserve(1)]
    assert [answer.status_code for answer in answers] == [500, 500, 200]
    assert answers[0].json()["error"] == "INTERNAL_ERROR"
    assert app.balance()["reserved"] == 1


def test_an_outage_of_redis_looks_like_a_refused_key_while_readiness_is_503(server: Server, app: App) -> None:
    server.fault("unauthorized")
    assert server.http.get("/actuator/health/readiness").status_code == 503
    assert server.http.get("/actuator/health/liveness").status_code == 200
    answer = app.reserve(1)
    assert (answer.status_code, answer.json()["error"]) == (401, "UNAUTHORIZED")
    assert answer.json()["message"] == "INTERNAL_ERROR"
    assert server.http.get("/actuator/health/readiness").json() == {"status": "UP"}


def test_a_malformed_success_is_no_json_but_took_effect(server: Server, app: App) -> None:
    server.fault("malformed", operation="reserve")
    answer = app.reserve(100)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="line 1"):
        answer.json()
    assert app.balance()["reserved"] == 100


@pytest.mark.parametrize("operation", ["reserve", "commit", "release", "extend", "decide", "event", "balances"])
def test_a_fault_meets_its_operation_only(server: Server, app: App, operation: str) -> None:
    first, second = app.held(1), app.held(1)
    calls: dict[str, Callable[[], httpx.Response]] = {
        "reserve": lambda: app.reserve(1),
        "extend": lambda: app.extend(first, 1_000),
        "commit": lambda: app.commit(first, 1),
        "release": lambda: app.release(second),
        "decide": lambda: app.decide(1),
        "event": lambda: app.event(1),
        "balances": lambda: app.get("balances", tenant=app.tenant),
    }
    server.fault("error", operation=operation)
    failed = [name for name, call in calls.items() if call().status_code == 500]
    assert failed == [operation]


def test_the_admin_plane_has_no_faults(server: Server) -> None:
    server.fault("error")
    assert App(server).tenant


def test_caps_on_the_deepest_ledger_make_an_allow_with_caps(server: Server, app: App) -> None:
    caps = {"max_tokens": 5, "tool_denylist": ["shell"], "cooldown_ms": 10}
    server.control("POST", "ledger", {"scope": f"tenant:{app.tenant}", "caps": caps})
    for answer in (app.reserve(1), app.decide(1), app.reserve(1, dry_run=True)):
        assert (answer.json()["decision"], answer.json()["caps"]) == ("ALLOW_WITH_CAPS", caps)
    server.control("POST", "ledger", {"scope": f"tenant:{app.tenant}"})
    assert app.reserve(1).json()["decision"] == "ALLOW"


def test_a_ledger_set_over_its_limit_blocks_until_it_is_funded(server: Server, app: App) -> None:
    server.control("POST", "ledger", {"scope": f"tenant:{app.tenant}", "is_over_limit": True})
    assert app.reserve(1).json()["error"] == "OVERDRAFT_LIMIT_EXCEEDED"
    app.fund("CREDIT", 1)
    assert app.reserve(1).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no key"),
        pytest.param({"X-Admin-API-Key": "dev-admin-key"}, 401, id="wrong key"),
        pytest.param(ADMIN | {"Host": "evil.example"}, 403, id="foreign host"),
        pytest.param(ADMIN | {"Host": "127.0.0.1.evil.example:7878"}, 403, id="host that begins like loopback"),
        pytest.param(ADMIN | {"Host": "evil.example@127.0.0.1.nip.io"}, 403, id="host with a user part"),
    ],
)
def test_admin_and_control_plane_refuse_what_other_processes_and_web_pages_could_send(
    server: Server, headers: dict[str, str], status: int
) -> None:
    control = [("POST", "faults"), ("POST", "reset"), ("GET", "snapshot"), ("POST", "clock"), ("POST", "ledger")]
    paths = [(method, f"/_emulator/{path}") for method, path in control]
    for method, path in [*paths, ("POST", "/v1/admin/tenants"), ("GET", "/v1/admin/budgets")]:
        assert server.http.request(method, path, headers=headers, json={}).status_code == status


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7878", "[::1]:7878"])
def test_admin_and_control_plane_take_loopback_hosts(server: Server, host: str) -> None:
    for path in ("/_emulator/faults", "/v1/admin/budgets"):
        assert server.http.get(path, headers=ADMIN | {"Host": host}).status_code == 200


def test_a_limit_is_429_with_a_time_to_wait_and_has_no_effect(server: Server, app: App) -> None:
    server.fault("limited", operation="reserve")
    answer = app.reserve(1)
    assert (answer.status_code, answer.json()["error"], answer.headers["Retry-After"]) == (429, "LIMIT_EXCEEDED", "7")
    assert app.reserve(1).status_code == 200


@pytest.mark.parametrize("status", ["FROZEN", "CLOSED"])
def test_a_ledger_can_be_set_to_a_state_that_takes_no_hold(server: Server, app: App, status: str) -> None:
    server.control("POST", "ledger", {"scope": f"tenant:{app.tenant}", "status": status})
    assert app.reserve(1).json()["error"] == f"BUDGET_{status}"


def test_unknown_kinds_and_members_are_refused(server: Server) -> None:
    for body in ({"kind": "nope"}, {"kind": "error", "surprise": 1}, {"kind": "error", "times": 0}):
        answer = server.http.post("/_emulator/faults", json=body, headers=ADMIN)
        assert answer.status_code == 400
