"""Dashboard sessions in a signed cookie."""

from itsdangerous import TimestampSigner
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ..core.config import SESSION_LIFE_S, Settings
from .errors import PROVIDERS_API


class Sessions(SessionMiddleware):
    """Starlette's sessions, signed with the first SECRET_KEY. All of them are accepted."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        path, https_only = settings.root_path or "/", not settings.development
        super().__init__(app, secret_key="", max_age=SESSION_LIFE_S, path=path, https_only=https_only)
        self.signer = TimestampSigner([secret.get_secret_value() for secret in reversed(settings.secret_key)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave out the provider's API, which has none: each chunk of a stream would pass here."""
        serve = self.app if scope.get("path", "").startswith(PROVIDERS_API) else super().__call__
        await serve(scope, receive, send)
