"""After any sequence of calls no money is made or lost: a state machine over the HTTP surface."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from .server import UNIT, App, Body, Server, conserved, money

WRITES = {
    "reserve": {"decision", "reservation_id", "affected_scopes", "expires_at_ms", "remaining_ttl_ms", "scope_path"}
    | {"reserved", "balances"},
    "commit": {"status", "charged", "released", "balances"},
    "release": {"status", "released", "balances"},
    "extend": {"status", "expires_at_ms", "remaining_ttl_ms", "balances"},
    "event": {"status", "event_id", "charged", "balances"},
    "decide": {"decision", "reason_code", "affected_scopes"},
}
BALANCE = {"scope", "scope_path", "remaining", "reserved", "spent", "allocated", "debt", "overdraft_limit"}
BALANCE |= {"is_over_limit"}
REFUSALS = {400, 404, 409, 410}

amounts = st.one_of(st.integers(0, 300), st.sampled_from([0, 1, 999, 1000, 1001, 2**62]))
policies = st.sampled_from([None, "REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"])
levels = st.sampled_from([{}, {"app": "chat"}, {"workspace": "prod", "app": "chat"}, {"agent": "bot"}])
keys = st.none() | st.sampled_from(["a", "b", "c"])


def nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(nulls, value.values()))
    return any(map(nulls, value)) if isinstance(value, list) else value is None


class Money(RuleBasedStateMachine):
    """One tenant with ledgers at three paths, two of which may run into debt."""

    server: Server
    holds = Bundle("holds")
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.server.control("POST", "reset")
        self.app = App(self.server, 1000, overdraft=500)
        self.root = f"tenant:{self.app.tenant}"
        self.app.ledger(f"{self.root}/app:chat", 800, 100)
        self.app.ledger(f"{self.root}/workspace:prod/app:chat", 600)
        self.gone = dict.fromkeys(self.ledgers(), 0)  # spent + debt, as the answers say
        self.answers: dict[tuple[str, str], Body] = {}

    def ledgers(self) -> dict[str, Body]:
        return {each["scope"]: each for each in self.server.control("GET", "snapshot")["ledgers"]}

    def write(self, kind: str, path: str, body: Body, key: str | None) -> tuple[Body | None, tuple[Any, ...]]:
        """Call; gives the answer if this call took effect for the first time, and the call to repeat it."""
        keyed = {"idempotency_key": key or f"n{next(self.app.numbers)}"}
        sent = keyed | {name: value for name, value in body.items() if value is not None}
        answer = self.app.post(path, sent)
        if answer.status_code in REFUSALS:
            return None, ()
        document = self.checked(kind, answer)
        first = self.answers.setdefault((path, sent["idempotency_key"]), document)
        assert first | {"remaining_ttl_ms": 0} == document | {"remaining_ttl_ms": 0}
        return (document if first is document else None), (kind, path, sent)

    def checked(self, kind: str, answer: httpx.Response) -> Body:
        assert answer.status_code == (201 if kind == "event" else 200), answer.text
        document: Body = answer.json()
        assert document.keys() <= WRITES[kind]
        assert not nulls(document)
        for balance in document.get("balances", ()):
            assert balance.keys() <= BALANCE
            of = {name: value["amount"] for name, value in balance.items() if isinstance(value, dict)}
            gone = of["spent"] + of["reserved"] + of.get("debt", 0)
            assert of["remaining"] == of["allocated"] - gone
        return document

    def charge(self, document: Body, amount: int) -> None:
        for balance in document["balances"]:
            self.gone[balance["scope_path"]] += amount

    @rule(targets=(holds, calls), amount=amounts, policy=policies, levels=levels, key=keys, ttl=st.integers(1, 90))
    def reserve(self, amount: int, policy: str | None, levels: Body, key: str | None, ttl: int) -> Any:
        body = self.app.request("estimate", amount, levels=levels, overage_policy=policy, ttl_ms=ttl * 1000)
        document, call = self.write("reserve", "reservations", body, key)
        return (document["reservation_id"], amount, call) if document else None

    @rule(target=calls, hold=holds, share=st.integers(0, 300), key=keys)
    def commit(self, hold: Any, share: int, key: str | None) -> Any:
        if hold is None:
            return None
        actual = hold[1] * share // 100 + (share > 100)
        body = {"actual": money(min(actual, 2**63 - 1))}
        document, call = self.write("commit", f"reservations/{hold[0]}/commit", body, key)
        if document:
            self.charge(document, document["charged"]["amount"])
            assert document["charged"]["amount"] <= actual
        return (None, None, call) if call else None

    @rule(target=calls, hold=holds, key=keys)
    def release(self, hold: Any, key: str | None) -> Any:
        if hold is None:
            return None
        _, call = self.write("release", f"reservations/{hold[0]}/release", {}, key)
        return (None, None, call) if call else None

    @rule(target=calls, hold=holds, ms=st.integers(1, 60_000), key=keys)
    def extend(self, hold: Any, ms: int, key: str | None) -> Any:
        if hold is None:
            return None
        _, call = self.write("extend", f"reservations/{hold[0]}/extend", {"extend_by_ms": ms}, key)
        return (None, None, call) if call else None

    @rule(target=calls, amount=amounts, policy=policies, levels=levels, key=keys)
    def event(self, amount: int, policy: str | None, levels: Body, key: str | None) -> Any:
        body = self.app.request("actual", amount, levels=levels, overage_policy=policy)
        document, call = self.write("event", "events", body, key)
        if document:
            self.charge(document, document.get("charged", money(amount))["amount"])
        return (None, None, call) if call else None

    @rule(amount=amounts, levels=levels)
    def decide(self, amount: int, levels: Body) -> None:
        body = self.app.request("estimate", amount, levels=levels)
        document, _ = self.write("decide", "decide", body, None)
        allowed = self.app.reserve(amount, levels=levels, dry_run=True).json()["decision"]
        assert document is not None
        assert document["decision"] == allowed

    @rule(call=calls)
    def repeat(self, call: Any) -> None:
        """Nothing is charged twice: the second time it is the same answer."""
        if call is not None and call[2]:
            kind, path, sent = call[2]
            document, _ = self.write(kind, path, sent, sent["idempotency_key"])
            assert document is None

    @rule(
        scope=st.sampled_from(["", "/app:chat", "/workspace:prod/app:chat"]),
        operation=st.sampled_from(["CREDIT", "DEBIT", "RESET", "RESET_SPENT", "REPAY_DEBT"]),
        amount=st.integers(0, 1500),
    )
    def fund(self, scope: str, operation: str, amount: int) -> None:
        query = {"scope": self.root + scope, "unit": UNIT, "tenant_id": self.app.tenant}
        body = {"operation": operation, "amount": money(amount)}
        answer = self.server.admin("POST", "budgets/fund", body, **query)
        if answer.status_code == 200:
            told = {name: value["amount"] for name, value in answer.json().items() if isinstance(value, dict)}
            change = sum(told[f"new_{name}"] - told[f"previous_{name}"] for name in ("spent", "debt"))
            assert operation in {"RESET_SPENT", "REPAY_DEBT"} or change == 0
            self.gone[self.root + scope] += change

    @rule(limit=st.integers(0, 600), verb=st.sampled_from(["freeze", "unfreeze", "limit"]))
    def change_ledger(self, limit: int, verb: str) -> None:
        query = {"scope": self.root, "unit": UNIT}
        if verb == "limit":
            self.server.admin("PATCH", "budgets", {"overdraft_limit": money(limit)}, **query)
        else:
            self.server.admin("POST", f"budgets/{verb}", None, **query)

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.server.advance(seconds * 1000)

    @invariant()
    def money_is_conserved(self) -> None:
        conserved(self.server.control("GET", "snapshot"))
        for scope, ledger in self.ledgers().items():
            assert ledger["spent"] + ledger["debt"] == self.gone[scope], ledger
            assert ledger["debt"] >= 0


def run_machine(server: Server, examples: int, steps: int) -> None:
    machine = type("Machine", (Money,), {"server": server})
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quiet),
    )


@pytest.fixture
def own_server(emulator_dir: Any, tmp_path: Any) -> Any:
    """The machine resets its emulator, so it has one of its own."""
    server = Server(emulator_dir, tmp_path / "state.sqlite3")
    yield server
    server.stop()


def test_money_is_conserved(own_server: Server) -> None:
    run_machine(own_server, examples=10, steps=30)


@pytest.mark.long
def test_money_is_conserved_over_ten_thousand_steps(own_server: Server) -> None:
    run_machine(own_server, examples=200, steps=50)
