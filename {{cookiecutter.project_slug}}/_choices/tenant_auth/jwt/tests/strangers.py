"""Invalid credentials that look like a tenant's."""

from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

import dev_identity

from .running import App


def strangers(app: App, tenant: str) -> dict[str, list[tuple[str, str]]]:
    """Return headers by what is wrong with them. Every route must answer 401."""
    good = dev_identity.claims(tenant, app.environment)
    key = dev_identity.private_key(app.environment)
    another = dev_identity.private_key(dev_identity.environment())
    past, future = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-1, 1))

    def signed(key: RSAPrivateKey, **changed: object) -> str:
        return jwt.encode({**good, **changed}, key, "RS256")

    tokens = {
        "nonsense": "nonsense",
        "nothing in it": "e30.e30.e30",
        "not signed": jwt.encode(good, "", "none"),
        "signed by another": signed(another),
        "signed, then changed": signed(key, tenant="another").rpartition(".")[0] + "." + signed(key).rpartition(".")[2],
        "expired": signed(key, exp=past),
        "not yet valid": signed(key, nbf=future),
        "for another service": signed(key, aud="urn:another"),
        "of another issuer": signed(key, iss="urn:another"),
        "of no tenant": signed(key, tenant=None),
        "of a tenant that nobody knows": signed(key, tenant="nobody"),
        "of a tenant that is none": signed(key, tenant="\0 \ud800"),
        "too long": signed(key, more="x" * 20_000),
    }
    headers = {wrong: [("Authorization", f"Bearer {token}")] for wrong, token in tokens.items()}
    return {**headers, "two tokens": [("Authorization", f"Bearer {signed(key)}")] * 2}
