"""Onboarding, credits, resets and closing, cut at every request to Cycles and run again."""

from itertools import count

import pytest

from ..live import TAG
from ..places import CLOSING, ONBOARDING
from ..running import App, Emulator
from .faults import kill, make_old, relayed
from .test_onboarding import USD, hold, live_keys, refusal


@pytest.mark.parametrize("requests", range(ONBOARDING))
def test_onboarding_that_is_killed_is_completed_by_the_same_again_with_one_live_key(
    installed: App, emulator: Emulator, requests: int
) -> None:
    tenant = f"killed-{requests}{TAG}"
    command = ("tenants", "add", tenant, "--name", "Killed", "--budget", "5.00")
    kill(installed, requests, *command)
    completed = installed.done(*command)
    assert completed["created"]
    assert len(live_keys(emulator, tenant)) == 1
    assert emulator.ledger(tenant)["allocated"] == 5 * USD


@pytest.mark.parametrize("requests", range(ONBOARDING))
def test_onboarding_whose_request_does_not_arrive_is_completed_by_the_same_again(
    installed: App, emulator: Emulator, requests: int
) -> None:
    tenant, earlier = f"cut-{requests}{TAG}", count()
    command = ("tenants", "add", tenant, "--name", "Cut", "--budget", "5.00")
    with relayed(installed, lambda _, send: send() if next(earlier) < requests else None) as harmed:
        assert refusal(harmed, *command) == "admin_unreachable"
    assert installed.done(*command)["created"]
    assert len(live_keys(emulator, tenant)) == 1


def test_a_credit_with_a_reference_that_is_killed_is_completed_once(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    fund = ("tenants", "fund", tenant, "--credit", "1.00", "--reference", f"{tenant} invoice 7")
    kill(installed, 1, *fund)
    assert installed.done(*fund)["credited"]
    assert not installed.done(*fund)["credited"]
    assert emulator.ledger(tenant)["allocated"] == 2 * USD


def test_credit_interrupted_over_23_hours_ago_is_refused(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    fund = ("tenants", "fund", tenant, "--credit", "1.00", "--reference", f"{tenant} invoice 8")
    kill(installed, 1, *fund)
    make_old(installed, "adjustments", "created_at")
    assert refusal(installed, *fund) == "outcome_unknown"
    assert emulator.ledger(tenant)["allocated"] == 2 * USD


def test_a_reset_of_all_that_is_killed_is_completed_by_the_same_again(
    alone: tuple[App, Emulator],
) -> None:
    app, emulator = alone
    for tenant in ("acme", "globex", "initech", "umbrella"):
        app.add_tenant("1.00", tenant)
    app.done("tenants", "suspend", "umbrella")
    hold(emulator, "globex", 1_000)
    reset = ("tenants", "reset", "--all", "--budget", "9.00", "--period", "2026-12")
    kill(app, 1, *reset)
    rest = app.done(*reset)
    assert rest == {"tenants": ["globex", "initech"], "done_before": ["acme"], "skipped": ["umbrella"]}
    assert {emulator.ledger(tenant)["allocated"] for tenant in ("acme", "globex", "initech")} == {9 * USD}
    assert emulator.ledger("globex")["reserved"] == 1_000


@pytest.mark.parametrize("requests", range(CLOSING))
def test_a_close_that_is_killed_is_completed_by_running_it_again(
    installed: App, emulator: Emulator, requests: int
) -> None:
    whole, killed = installed.add_tenant()["id"], installed.add_tenant()["id"]
    installed.done("tenants", "close", whole)
    kill(installed, requests, "tenants", "close", killed)
    installed.done("tenants", "close", killed)
    assert emulator.ledger(killed)["status"] == emulator.ledger(whole)["status"] == "FROZEN"
    assert len(live_keys(emulator, killed)) == len(live_keys(emulator, whole))
    assert refusal(installed, "tenants", "resume", killed) == "tenant_closed"


def test_a_close_that_is_killed_is_completed_while_a_call_is_in_flight(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant()["id"]
    kill(installed, 1, "tenants", "close", tenant)  # the tenant is closed, its ledger not frozen yet
    hold(emulator, tenant, 1_000)
    keys = live_keys(emulator, tenant)
    installed.done("tenants", "close", tenant)
    ledger = emulator.ledger(tenant)
    assert (ledger["status"], ledger["reserved"]) == ("FROZEN", 1_000)
    assert live_keys(emulator, tenant) == keys  # the call needs its key to settle
