"""The recipes in docs/tenants.md, as written there: plans, and credit sold with Stripe. Real signatures, no network."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from ..running import PACKAGE, ROOT, STARTED_WITH, App, Emulator

SECRET = "whsec_of_the_tests"
USD = 100_000_000


def recipe(language: str, contents: str) -> str:
    """Return the block of the page that contains a text."""
    blocks = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", (ROOT / "docs/tenants.md").read_text())
    (found,) = [block for block in blocks if contents in block]
    return str(found)


def event(tenant: str, payment: str, cents: int, **more: Any) -> str:
    session = {
        "object": "checkout.session",
        "client_reference_id": tenant,
        "payment_intent": payment,
        "payment_status": "paid",
        "currency": "usd",
        "amount_total": cents,
    }
    kind = more.pop("type", "checkout.session.completed")
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": session | more}})


def send(app: App, body: str, secret: str = SECRET, sent_at: float = 0.0) -> int:
    signature = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=int(sent_at or time.time()))
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    return httpx.post(f"{app.url}/webhooks/stripe", content=body, headers=headers, timeout=30).status_code


@pytest.fixture(scope="module")
def shop(installed: App) -> Any:
    with installed.serving(STRIPE_WEBHOOK_SECRET=SECRET) as app:
        yield app


def test_a_payment_is_credited_once_however_often_and_in_whatever_order_it_is_reported(
    shop: App, emulator: Emulator
) -> None:
    tenant = shop.add_tenant("1.00")["id"]
    paid = event(tenant, "pi_1", 1_000, type="checkout.session.async_payment_succeeded")
    unpaid = event(tenant, "pi_1", 1_000, payment_status="unpaid")
    other = event(tenant, "pi_2", 250)
    for body in (paid, unpaid, other, paid, event(tenant, "pi_1", 1_000), other):
        assert send(shop, body) == 200
    assert emulator.ledger(tenant)["allocated"] == USD + 10 * USD + 250 * USD // 100


def test_a_webhook_that_stripe_did_not_sign_credits_nothing(shop: App, emulator: Emulator) -> None:
    tenant = shop.add_tenant("1.00")["id"]
    body = event(tenant, "pi_3", 1_000)
    assert send(shop, body, secret="whsec_of_somebody_else") == 422
    assert send(shop, body, sent_at=time.time() - 3_600) == 422
    assert httpx.post(f"{shop.url}/webhooks/stripe", content=body).status_code == 422
    assert send(shop, event(tenant, "pi_4", 1_000, currency="jpy")) == 200
    assert emulator.ledger(tenant)["allocated"] == USD


def test_stripe_sends_again_what_could_not_be_credited(shop: App, emulator: Emulator) -> None:
    tenant = shop.add_tenant("1.00")["id"]
    shop.done("tenants", "suspend", tenant)
    body = event(tenant, "pi_5", 1_000)
    assert send(shop, body) >= 400
    shop.done("tenants", "resume", tenant)
    assert send(shop, body) == 200
    assert emulator.ledger(tenant)["allocated"] == 11 * USD


def test_a_plan_is_a_budget_from_the_next_period_on(installed: App, tmp_path: Path) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    (tmp_path / "plans.toml").write_text(recipe("toml", "[starter]"))
    (tmp_path / "plans.py").write_text(recipe("py", "plans.toml"))
    environment = STARTED_WITH | installed.environment
    subprocess.run([sys.executable, "plans.py", tenant, "pro"], cwd=tmp_path, env=environment, check=True)
    row = next(row for row in installed.done("tenants", "list")["tenants"] if row["tenant"] == tenant)
    assert (row["budget"], row["every"], row["timezone"]) == ("25.00", "month", "Europe/Berlin")
    assert PACKAGE in (tmp_path / "plans.py").read_text()
