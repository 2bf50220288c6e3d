"""JSON over HTTP to the Cycles servers: kept-alive connections, no proxy, no cookies, no redirects."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
from pydantic import TypeAdapter
from structlog.contextvars import get_contextvars
from yarl import URL

MAX_CONNECTIONS = 200
IDLE_S = 15.0
"""How long an idle connection is reused. Servers close them after 20 s or more."""
JSON = TypeAdapter(dict[str, Any])


class Answer(NamedTuple):
    """`headers` are of any case. `body` is empty if the content is no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class JsonClient:
    """Talks to one server from one event loop. The session is opened on first use. Time-outs are in seconds."""

    def __init__(self, base_url: str, connect_timeout: float, read_timeout: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=connect_timeout + read_timeout, sock_connect=connect_timeout, sock_read=read_timeout
        )
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None = None
    ) -> Answer:
        """Make one call, with the caller's trace context. Raises OSError if no whole answer comes in time.

        ConnectionRefusedError says that nothing was sent.
        """
        content = None
        if traceparent := get_contextvars().get("traceparent"):
            headers = {**headers, "traceparent": traceparent}
        if body is not None:
            headers, content = {**headers, "Content-Type": "application/json"}, JSON.dump_json(body)
        url = URL(self._base_url + path, encoded=True)
        try:
            async with self._open().request(
                method, url, data=content, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise ConnectionRefusedError(str(error)) from error
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error
        return Answer(response.status, response.headers, _object_in(answer))

    async def aclose(self) -> None:
        """Close the connections. They are opened again when needed."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
            )
        return self._session


def _object_in(content: bytes) -> dict[str, Any]:
    try:
        return JSON.validate_json(content)
    except ValueError:
        return {}
