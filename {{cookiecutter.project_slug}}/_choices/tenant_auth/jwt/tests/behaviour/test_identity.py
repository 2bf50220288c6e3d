"""What only tokens have; what every identity must do is in test_refusals.py and test_isolation.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

import dev_identity

from ..listening import Quiet, listening
from ..live import TAG
from ..running import ACME, GLOBEX, HTTP, TLS, App, free_port
from .test_onboarding import status
from .test_refusals import CHAT, HELLO, assert_problem


@contextmanager
def issuer(keys: list[dict[str, Any]], port: int = 0) -> Iterator[str]:
    """An issuer that publishes `keys`: the address of its JWK Set."""

    class Answer(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(httpx.Request("POST", "http://x", json={"keys": keys}).content)

    with listening(Answer, port) as server:
        yield f"{server}/jwks.json"


class Signer:
    """A key of the issuer."""

    def __init__(self, kid: str, app: App) -> None:
        self.kid = kid
        self.app = app
        self.key = dev_identity.private_key(dev_identity.environment())

    def public(self) -> dict[str, Any]:
        return {**RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": self.kid}

    def headers(self, tenant: str) -> dict[str, str]:
        claims = dev_identity.claims(tenant, self.app.environment)
        token = jwt.encode(claims, self.key, "RS256", {"kid": self.kid})
        return {"Authorization": f"Bearer {token}"}


def test_onboarding_shows_no_key_and_there_are_no_commands_for_keys(installed: App) -> None:
    added = installed.done("tenants", "add", f"no-key{TAG}", "--name", "N", "--budget", "1.00")
    assert added == {"tenant": f"no-key{TAG}", "created": True, "api_key": None}
    assert installed.cli("keys", "list", f"no-key{TAG}").returncode != 0


def test_a_tenant_header_that_disagrees_is_403(api: httpx.Client, acme: dict[str, str]) -> None:
    for other in (GLOBEX, ACME.upper(), "nobody"):
        answer = api.post(CHAT, json=HELLO, headers={**acme, "X-Tenant-ID": other})
        assert_problem(answer, 403, "tenant_mismatch")
    assert api.post(CHAT, json=HELLO, headers={**acme, "X-Tenant-ID": ACME}).status_code == 200


def test_a_clock_that_is_a_little_ahead_does_no_harm(app: App, api: httpx.Client) -> None:
    claims = dev_identity.claims(ACME, app.environment)
    claims["iat"] = claims["nbf"] = int(datetime.now(UTC).timestamp()) + 3
    token = jwt.encode(claims, dev_identity.private_key(app.environment), "RS256")
    assert status(api, {"headers": {"Authorization": f"Bearer {token}"}}) == 200


def test_tokens_are_verified_by_the_keys_that_the_issuer_publishes(installed: App) -> None:
    published, secret = Signer("one", installed), Signer("two", installed)
    with (
        issuer([published.public()]) as url,
        installed.serving(JWT_JWKS_URL=url, JWT_PUBLIC_KEY="") as serving,
        httpx.Client(base_url=serving.url, verify=TLS) as api,
    ):
        assert status(api, {"headers": published.headers(ACME)}) == 200
        assert status(api, {"headers": secret.headers(ACME)}) == 401
        assert status(api, installed.tenants[ACME]) == 401  # the key of the settings counts no more


def test_tokens_get_503_until_a_key_of_the_issuer_is_known(installed: App) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/jwks.json"
    headers = Signer("one", installed).headers(ACME)
    with installed.serving(JWT_JWKS_URL=nobody, JWT_PUBLIC_KEY="") as serving:
        answer = HTTP.post(f"{serving.url}{CHAT}", json=HELLO, headers=headers)
        assert_problem(answer, 503, "identity_unavailable")
        assert HTTP.get(f"{serving.url}/readyz").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_ISSUER", ""),
        ("JWT_AUDIENCE", ""),
        ("JWT_ALGORITHMS", "none"),
        ("JWT_ALGORITHMS", "RS256,HS256"),
        ("JWT_PUBLIC_KEY", ""),
        ("JWT_JWKS_URL", "https://issuer.example/jwks.json"),
    ],
)
def test_serving_refuses_to_start_without_the_token_settings(installed: App, name: str, value: str) -> None:
    refused = App(installed.folder, {**installed.environment, name: value}).cli("serve")
    assert refused.returncode == 1
    assert name in refused.stderr
    assert "Traceback" not in refused.stderr
