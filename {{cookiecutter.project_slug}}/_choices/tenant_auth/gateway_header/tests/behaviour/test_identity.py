"""What only the gateway's header has; what every identity must do is in test_refusals.py and test_isolation.py."""

import httpx
import pytest

from ..live import TAG
from ..running import ACME, HTTP, App
from .test_refusals import CHAT, HELLO, assert_problem


def test_onboarding_shows_no_key_and_there_are_no_commands_for_keys(installed: App) -> None:
    added = installed.done("tenants", "add", f"no-key{TAG}", "--name", "N", "--budget", "1.00")
    assert added == {"tenant": f"no-key{TAG}", "created": True, "api_key": None}
    assert installed.cli("keys", "list", f"no-key{TAG}").returncode != 0


def test_the_gateway_secret_rotates_without_a_refused_call(installed: App, acme: dict[str, str]) -> None:
    new = "a-new-secret-of-the-gateway-0123456789"
    with installed.serving(GATEWAY_SECRET=f"{new}, {acme['X-Gateway-Secret']}") as serving:
        for secret in (new, acme["X-Gateway-Secret"]):
            answer = HTTP.post(f"{serving.url}{CHAT}", json=HELLO, headers={**acme, "X-Gateway-Secret": secret})
            assert answer.status_code == 200


@pytest.mark.parametrize("secret", ["", "short", "0123456789abcdefghijklmnopqrstuv,short"])
def test_serving_refuses_to_start_without_a_strong_secret(installed: App, secret: str) -> None:
    environment = {**installed.environment, "GATEWAY_SECRET": secret}
    refused = App(installed.folder, environment).cli("serve")
    assert refused.returncode == 1
    assert refused.stderr.startswith("GATEWAY_SECRET") or "\nGATEWAY_SECRET" in refused.stderr
    assert "0123456789" not in refused.stderr


def test_the_secret_is_compared_before_the_tenants_header_is_judged(api: httpx.Client, acme: dict[str, str]) -> None:
    twice = [("X-Tenant-ID", ACME)] * 2
    assert_problem(api.post(CHAT, json=HELLO, headers=twice), 401, "unauthenticated")
    answer = api.post(CHAT, json=HELLO, headers=[*twice, ("X-Gateway-Secret", acme["X-Gateway-Secret"])])
    assert_problem(answer, 422, "invalid_request")
