"""Django's database sessions, safe for every cookie."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Ignores a key with a NUL, which a cookie may hold and PostgreSQL refuses with an error."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and session_key.isprintable() else None)
