"""What a request says of who sends it: the headers that every way of authentication reads."""

from collections.abc import Sequence

from ..core.problems import Problem

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI hands them over: names in lower case, repeated ones one after the other."""

GATEWAY_SECRET = b"x-gateway-secret"
CREDENTIALS = frozenset({b"authorization", GATEWAY_SECRET})


def values_of(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def carry_credentials(headers: Headers) -> bool:
    return any(name in CREDENTIALS for name, _ in headers)


def without_secret(headers: Headers) -> list[tuple[bytes, bytes]]:
    """As anything may see, and log, them: nothing outside of this project knows that X-Gateway-Secret is one."""
    return [(name, value) for name, value in headers if name != GATEWAY_SECRET]


def bearer_token(headers: Headers) -> str:
    """The credential of the one `Authorization: Bearer` header. Raises Problem unauthenticated."""
    sent = values_of(headers, b"authorization")
    if len(sent) != 1:
        raise Problem("unauthenticated")
    scheme, _, token = sent[0].partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token or not token.isascii():
        raise Problem("unauthenticated")
    return token.decode("ascii")


def claimed_tenant(headers: Headers) -> bytes | None:
    """X-Tenant-ID, if it was sent. Raises Problem invalid_request when it was sent twice."""
    claims = values_of(headers, b"x-tenant-id")
    if len(claims) > 1:
        raise Problem("invalid_request", "X-Tenant-ID was sent more than once.")
    return claims[0] if claims else None


def check_claim(headers: Headers, tenant: str) -> None:
    """Hold X-Tenant-ID, if it was sent, against the tenant that the identity proves: exactly, case included.

    Raises Problem tenant_mismatch, or invalid_request when it was sent twice.
    """
    claim = claimed_tenant(headers)
    if claim is not None and claim != tenant.encode():
        raise Problem("tenant_mismatch")
