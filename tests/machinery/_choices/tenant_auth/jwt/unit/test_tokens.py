"""Which tokens are believed. Each bad one differs from a good one in one thing."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

import dev_identity
from {{ cookiecutter.__package }}.core.identity_settings import IdentitySettings
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.jwks import Jwks
from {{ cookiecutter.__package }}.tenants.tokens import LEEWAY_S, Tokens

ENVIRONMENT = dev_identity.environment()
KEY = dev_identity.private_key(ENVIRONMENT)
PUBLIC = ENVIRONMENT["JWT_PUBLIC_KEY"].replace("\\n", "\n")
CLAIMS = dev_identity.claims("acme", ENVIRONMENT)
NOW = datetime.now(UTC)


def settings(**changed: Any) -> IdentitySettings:
    good = {name.lower(): value for name, value in ENVIRONMENT.items() if name.startswith("JWT_")}
    return IdentitySettings(**{**good, **changed})


def signed(headers: dict[str, Any] | None = None, **changed: Any) -> str:
    return jwt.encode({**CLAIMS, **changed}, KEY, "RS256", headers)


def without(claim: str) -> str:
    return jwt.encode({name: value for name, value in CLAIMS.items() if name != claim}, KEY, "RS256")


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def by_hand(header: bytes, payload: bytes | None = None, secret: bytes = b"") -> str:
    """A token that no library would make, with an HMAC for a signature."""
    payload = payload or json.dumps(jwt.decode(signed(), options={"verify_signature": False})).encode()
    message = f"{encoded(header)}.{encoded(payload)}"
    return f"{message}.{encoded(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"


def tenant_of(token: str, **changed: Any) -> str:
    return asyncio.run(Tokens(settings(**changed)).tenant(token))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(), id="as dev_identity makes them"),
        pytest.param(signed(aud=["urn:another", CLAIMS["aud"]]), id="for several audiences"),
        pytest.param(signed({"kid": "any"}), id="key ID, which one key needs not"),
        pytest.param(without("iat"), id="not saying when it was made"),
        pytest.param(without("sub"), id="of no subject"),
        pytest.param(without("nbf"), id="valid from no certain time, which is optional"),
        pytest.param(signed(nbf=NOW + timedelta(seconds=LEEWAY_S - 2)), id="a clock that is a little ahead"),
    ],
)
def test_a_good_token_proves_its_tenant(token: str) -> None:
    assert tenant_of(token) == "acme"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="nonsense"),
        pytest.param("..", id="empty parts"),
        pytest.param("e30.e30.e30", id="empty objects"),
        pytest.param(encoded(b"[]") + ".e30.e30", id="a header that is a list"),
        pytest.param(encoded(b"[" * 5000) + ".e30.e30", id="a header as deep as it goes"),
        pytest.param(encoded(b'{"alg": "RS256", "x": ' + b"9" * 5000 + b"}") + ".e30.e30", id="a huge number"),
        pytest.param(signed()[:-1], id="cut short"),
        pytest.param(signed().rpartition(".")[0] + ".", id="signature missing"),
        pytest.param(signed(tenant="globex").rpartition(".")[0] + "." + signed().rpartition(".")[2], id="changed"),
        pytest.param(jwt.encode(CLAIMS, "", "none"), id="alg none"),
        pytest.param(by_hand(b'{"alg": "None"}'), id="alg None"),
        pytest.param(by_hand(b'{"alg": ["RS256"]}'), id="alg a list"),
        pytest.param(by_hand(b'{"alg": {}}'), id="alg an object"),
        pytest.param(by_hand(b'{"typ": "JWT"}'), id="no alg"),
        pytest.param(by_hand(b'{"alg": "HS256"}', secret=PUBLIC.encode()), id="HMAC by the public key"),
        pytest.param(by_hand(b'{"alg": "RS256"}', secret=PUBLIC.encode()), id="HMAC that says RS256"),
        pytest.param(jwt.encode(CLAIMS, KEY, "RS512"), id="an algorithm that is not pinned"),
        pytest.param(jwt.encode(CLAIMS, dev_identity.private_key(dev_identity.environment()), "RS256"), id="key"),
        pytest.param(signed({"kid": "x", "crit": ["kid"]}), id="a critical extension"),
        pytest.param(signed(exp=NOW - timedelta(seconds=LEEWAY_S + 1)), id="expired"),
        pytest.param(signed(nbf=NOW + timedelta(days=1)), id="not yet valid"),
        pytest.param(signed(iat=NOW + timedelta(days=1)), id="made in the future"),
        pytest.param(signed(exp="soon"), id="exp a word"),
        pytest.param(signed(exp=float("inf")), id="exp infinite"),
        pytest.param(signed(nbf=None), id="nbf null"),
        pytest.param(without("exp"), id="no exp"),
        pytest.param(without("iss"), id="no iss"),
        pytest.param(without("aud"), id="no aud"),
        pytest.param(without("tenant"), id="no tenant"),
        pytest.param(signed(iss="urn:another"), id="another issuer"),
        pytest.param(signed(aud="urn:another"), id="another audience"),
        pytest.param(signed(aud=[]), id="no audience at all"),
        pytest.param(signed(aud={CLAIMS["aud"]: 1}), id="aud an object"),
        pytest.param(signed(sub=7), id="sub a number"),
        pytest.param(signed(tenant=7), id="tenant a number"),
        pytest.param(signed(tenant=["acme"]), id="tenant a list"),
        pytest.param(signed(tenant=None), id="tenant null"),
        pytest.param(signed(more="x" * 100_000), id="100 kB"),
    ],
)
def test_any_other_is_refused(token: str) -> None:
    with pytest.raises(Problem) as problem:
        tenant_of(token)
    assert problem.value.code == "unauthenticated"


def test_the_tenants_claim_has_the_name_of_the_setting() -> None:
    token = signed(customer="globex")
    assert tenant_of(token, jwt_tenant_claim="customer") == "globex"


def test_while_the_issuer_changes_its_key_tokens_of_the_old_and_of_the_new_one_are_believed() -> None:
    new = dev_identity.environment()
    both = f"{new['JWT_PUBLIC_KEY']},{ENVIRONMENT['JWT_PUBLIC_KEY']}"
    assert settings(jwt_public_key=both).identity_faults() == []
    for token in (signed(), jwt.encode(CLAIMS, dev_identity.private_key(new), "RS256")):
        assert tenant_of(token, jwt_public_key=both) == "acme"
    with pytest.raises(Problem):
        tenant_of(
            jwt.encode(CLAIMS, dev_identity.private_key(dev_identity.environment()), "RS256"), jwt_public_key=both
        )


def test_a_good_configuration_may_serve() -> None:
    assert settings().identity_faults() == []
    assert settings(jwt_algorithms="RS256, PS256").identity_faults() == []
    for url in ("https://issuer.example/jwks", "http://127.0.0.1:8080/jwks", "http://localhost/jwks"):
        assert settings(jwt_public_key="", jwt_jwks_url=url).identity_faults() == []


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("JWT_ISSUER", {"jwt_issuer": ""}),
        ("JWT_AUDIENCE", {"jwt_audience": ""}),
        ("JWT_ALGORITHMS", {"jwt_algorithms": ""}),
        ("JWT_ALGORITHMS", {"jwt_algorithms": "none"}),
        ("JWT_ALGORITHMS", {"jwt_algorithms": "RS256,HS256"}),
        ("JWT_ALGORITHMS", {"jwt_algorithms": "rs256"}),
        ("JWT_PUBLIC_KEY", {"jwt_public_key": ""}),
        ("JWT_PUBLIC_KEY", {"jwt_public_key": "nonsense"}),
        ("JWT_PUBLIC_KEY", {"jwt_public_key": ENVIRONMENT["DEV_JWT_PRIVATE_KEY"]}),
        ("JWT_PUBLIC_KEY", {"jwt_algorithms": "RS256,ES256"}),
        ("JWT_PUBLIC_KEY", {"jwt_jwks_url": "https://issuer.example/jwks"}),
        ("JWT_JWKS_URL", {"jwt_public_key": "", "jwt_jwks_url": "http://issuer.example/jwks"}),
    ],
)
def test_each_fault_is_told_by_the_name_of_its_setting(name: str, changed: dict[str, str]) -> None:
    (fault,) = settings(**changed).identity_faults()
    assert name in fault
    assert "PRIVATE KEY" not in fault


@pytest.mark.parametrize("url", ["jwks.json", "https://issuer.example:78780/jwks", "file:///jwks.json"])
def test_an_address_of_keys_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="jwt_jwks_url"):
        settings(jwt_public_key="", jwt_jwks_url=url)


def test_a_key_of_another_kind_than_the_algorithm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key set may hold keys of several kinds."""

    async def find(_: Jwks, __: Any, ___: Any) -> Any:
        return KEY.public_key()

    monkeypatch.setattr(Jwks, "find", find)
    token = jwt.encode(CLAIMS, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "an RSA key"})
    changed = {"jwt_public_key": "", "jwt_jwks_url": "https://issuer.example/jwks", "jwt_algorithms": "RS256,ES256"}
    for bad in (token, by_hand(b'{"typ": "JWT", "kid": "one"}'), by_hand(b'{"alg": "RS256", "kid": {}}')):
        with pytest.raises(Problem, match="unauthenticated"):
            tenant_of(bad, **changed)
    assert tenant_of(signed(), **changed) == "acme"
