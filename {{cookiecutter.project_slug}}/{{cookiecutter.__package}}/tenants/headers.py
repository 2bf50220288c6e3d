"""The request headers that identify a caller."""

from collections.abc import Sequence

from ..core.problems import Problem

Headers = Sequence[tuple[bytes, bytes]]
"""ASGI headers: lower-case names, repeated headers as separate items."""

GATEWAY_SECRET = b"x-gateway-secret"


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    return [value for each, value in headers if each == name]


def carry_credentials(headers: Headers) -> bool:
    return any(name in (b"authorization", GATEWAY_SECRET) for name, _ in headers)


def without_secret(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers without X-Gateway-Secret, which logging and tracing libraries don't know to be secret."""
    return [(name, value) for name, value in headers if name != GATEWAY_SECRET]


def with_bearer(headers: Headers, name: bytes) -> Headers:
    """Return the headers with the key that is in the header `name` as the bearer token, unless they have one."""
    keys = values_of(headers, name)
    if not keys or values_of(headers, b"authorization"):
        return headers
    return [*headers, *((b"authorization", b"Bearer " + key) for key in keys)]


def bearer_token(headers: Headers) -> str:
    """Return the credential of the only `Authorization: Bearer` header. Raise Problem unauthenticated."""
    sent = values_of(headers, b"authorization")
    if len(sent) != 1:
        raise Problem("unauthenticated")
    scheme, _, token = sent[0].partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token or not token.isascii():
        raise Problem("unauthenticated")
    return token.decode("ascii")


def claimed_tenant(headers: Headers) -> bytes | None:
    """Return X-Tenant-ID, None if absent. Raise Problem invalid_request if it was sent twice."""
    claims = values_of(headers, b"x-tenant-id")
    if len(claims) > 1:
        raise Problem("invalid_request", "X-Tenant-ID was sent more than once.")
    return claims[0] if claims else None


def check_claim(headers: Headers, tenant: str) -> None:
    """Compare X-Tenant-ID, if sent, with the authenticated tenant, case included. Raise Problem tenant_mismatch."""
    if claimed_tenant(headers) not in (None, tenant.encode()):
        raise Problem("tenant_mismatch")
