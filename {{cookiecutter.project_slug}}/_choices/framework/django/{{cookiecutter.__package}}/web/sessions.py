"""Django's sessions in the database, for keys that a database can be asked for."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """A cookie may hold a NUL, by which PostgreSQL answers with an error: such a key names no session."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and session_key.isprintable() else None)
