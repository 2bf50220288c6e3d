"""Dashboard sessions in a signed cookie."""

from itsdangerous import TimestampSigner
from pydantic import SecretStr
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp

from ..core.config import SESSION_LIFE_S


class Sessions(SessionMiddleware):
    """Starlette's sessions, signed with the first of `secrets`. All of them are accepted."""

    def __init__(self, app: ASGIApp, secrets: list[SecretStr], *, https_only: bool) -> None:
        super().__init__(app, secret_key="", max_age=SESSION_LIFE_S, https_only=https_only, same_site="lax")
        self.signer = TimestampSigner([secret.get_secret_value() for secret in reversed(secrets)])
