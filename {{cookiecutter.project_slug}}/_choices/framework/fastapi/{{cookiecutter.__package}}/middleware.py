"""Sessions for the operators' pages. What every request passes first is edge.py."""

from itsdangerous import TimestampSigner
from pydantic import SecretStr
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


class Sessions(SessionMiddleware):
    """Starlette's sessions, signed with the newest of `secrets` and accepting them all. The API has none."""

    def __init__(self, app: ASGIApp, secrets: list[SecretStr], *, https_only: bool) -> None:
        super().__init__(app, secret_key="", https_only=https_only, same_site="lax")
        self.signer = TimestampSigner([secret.get_secret_value() for secret in reversed(secrets)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app if scope.get("path", "").startswith("/api/") else super().__call__
        await app(scope, receive, send)
