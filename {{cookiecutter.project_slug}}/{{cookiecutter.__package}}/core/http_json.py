"""JSON over HTTP to the Cycles servers: kept-alive connections, no proxy, no cookies, no redirects."""

from collections.abc import Mapping
from typing import Any

import aiohttp
from pydantic import TypeAdapter
from structlog.contextvars import get_contextvars
from yarl import URL

MAX_CONNECTIONS = 200
IDLE_S = 15.0
"""How long an idle connection is reused. Servers close them after 20 s or more."""
JSON = TypeAdapter(dict[str, Any])
Response = tuple[int, Mapping[str, str], dict[str, Any]]
"""Status, headers by names in any case, and body, which is empty if it is not a JSON object."""


class Connections:
    """At most `limit` connections of one event loop, made on first use and kept alive: no proxy, no cookies.

    `options` are those of aiohttp's session.
    """

    def __init__(self, limit: int | None = None, **options: Any) -> None:
        self._limit = limit
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> aiohttp.ClientSession:
        """Return the session."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limit or 0, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                **self._options,
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections. They are opened again when needed."""
        if self._session is not None:
            await self._session.close()


class JsonClient(Connections):
    """Talks to one server.

    `connect_timeout` and `read_timeout` are seconds; the second bounds the whole call.
    """

    def __init__(self, base_url: str, connect_timeout: float, read_timeout: float) -> None:
        timeout = aiohttp.ClientTimeout(total=read_timeout, sock_connect=connect_timeout)
        unsent = ("User-Agent", "Accept-Encoding", "Accept")
        super().__init__(MAX_CONNECTIONS, timeout=timeout, skip_auto_headers=unsent)
        self._base_url = base_url.rstrip("/")

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None = None
    ) -> Response:
        """Make one call, with the caller's trace context. Raise OSError if no whole answer comes in time."""
        content = None if body is None else JSON.dump_json(body)
        headers = {**headers, "Content-Type": "application/json"}
        if traceparent := get_contextvars().get("traceparent"):
            headers["traceparent"] = traceparent
        url = URL(self._base_url + path, encoded=True)
        try:
            response = await self.open().request(method, url, data=content, headers=headers, allow_redirects=False)
            answer = await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error
        try:
            return response.status, response.headers, JSON.validate_json(answer)
        except ValueError:
            return response.status, response.headers, {}
