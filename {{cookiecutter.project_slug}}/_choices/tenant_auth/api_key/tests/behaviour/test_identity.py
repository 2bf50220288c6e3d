"""What only API keys have; what every identity must do is in test_refusals.py and test_isolation.py."""

import json

import httpx

from ..live import TAG
from ..running import ACME, GLOBEX, App, wait_until
from .test_onboarding import refusal, status
from .test_refusals import CHAT, HELLO, assert_problem


def test_onboarding_shows_a_key_once(installed: App) -> None:
    command = ("tenants", "add", f"shown-once{TAG}", "--name", "N", "--budget", "1.00")
    assert installed.done(*command)["api_key"].startswith("rck_")
    assert installed.done(*command)["api_key"] is None


def test_a_tenant_header_that_disagrees_is_403(api: httpx.Client, acme: dict[str, str]) -> None:
    for other in (GLOBEX, ACME.upper(), "nobody"):
        answer = api.post(CHAT, json=HELLO, headers={**acme, "X-Tenant-ID": other})
        assert_problem(answer, 403, "tenant_mismatch")
    assert api.post(CHAT, json=HELLO, headers={**acme, "X-Tenant-ID": ACME}).status_code == 200


def test_callers_keys_are_added_listed_and_revoked(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant()
    added = app.done("keys", "add", tenant["id"], "--name", "batch jobs")
    headers = {"headers": {"Authorization": f"Bearer {added['api_key']}"}}
    assert status(api, headers) == 200
    listed = app.cli("keys", "list", tenant["id"], "--json").stdout
    assert [key["name"] for key in json.loads(listed)["keys"]] == ["first", "batch jobs"]
    assert added["api_key"] not in listed
    app.done("keys", "revoke", tenant["id"], added["key_id"])
    wait_until(lambda: status(api, headers) == 401, 5)
    assert status(api, tenant) == 200
    assert refusal(app, "keys", "revoke", tenant["id"], "nosuchky") == "unknown_key"
