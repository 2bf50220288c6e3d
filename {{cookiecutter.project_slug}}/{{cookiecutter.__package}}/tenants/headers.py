"""What a request says of who sends it: the headers that every way of authentication reads."""

from collections.abc import Iterable

from ..problems import Problem

Headers = Iterable[tuple[bytes, bytes]]
"""As ASGI hands them over: names in lower case, repeated ones one after the other."""


def bearer_token(headers: Headers) -> str:
    """The credential of the one `Authorization: Bearer` header. Raises Problem unauthenticated."""
    sent = [value for name, value in headers if name == b"authorization"]
    if len(sent) != 1:
        raise Problem("unauthenticated")
    scheme, _, token = sent[0].partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token or not token.isascii():
        raise Problem("unauthenticated")
    return token.decode("ascii")


def check_claim(headers: Headers, tenant: str) -> None:
    """Hold X-Tenant-ID, if it was sent, against the tenant that the identity proves: exactly, case included.

    Raises Problem tenant_mismatch, or invalid_request when it was sent twice.
    """
    claims = [value for name, value in headers if name == b"x-tenant-id"]
    if len(claims) > 1:
        raise Problem("invalid_request", "X-Tenant-ID was sent more than once.")
    if claims and claims[0] != tenant.encode():
        raise Problem("tenant_mismatch")
