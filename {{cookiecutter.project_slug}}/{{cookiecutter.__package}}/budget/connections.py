"""HTTP to the Cycles server, over connections that stay open.

A paid request waits for two calls to Cycles. By aiohttp they took a third of its CPU; asked like this, over asyncio's
sockets and TLS and with uvicorn's parser for the answers, a process serves 1.3 times as many. It knows what one server
of JSON needs: no proxies, redirects, cookies or compression.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast
from urllib.parse import quote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MOST_CONNECTIONS = 200
IDLE_S = 15.0
"""What was idle for longer is not used again: servers, and what lies between, forget connections without a word."""

Answer = tuple[int, dict[str, str], bytes]
"""Status; headers (names in lower case, the last value of a repeated one); content."""


class Broken(ConnectionError):
    """The server hung up before its answer was whole (one without a length never is), or it speaks no HTTP."""


class Connections:
    """Connections to `base_url`, for one event loop; each is opened when it is needed. Time-outs in seconds."""

    def __init__(self, base_url: str, connect_timeout: float, read_timeout: float) -> None:
        url = urlsplit(base_url)
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._host, self._port = url.hostname or "", url.port or (443 if self._tls else 80)
        self._named, self._prefix = url.netloc.rpartition("@")[2], url.path.rstrip("/")
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)
        self._idle: deque[_Connection] = deque()

    async def request(self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> Answer:
        """Ask once. `target` is path and query. Raises OSError where no whole answer comes in time.

        It waits `connect_timeout` for a connection, also for one of MOST_CONNECTIONS to come free, then `read_timeout`.
        A header with a line break raises ValueError: it is ours, and not to be counted as the server's failure.
        """
        lines = [f"{method} {self._prefix}{quote(target, safe='/?&=%+:,')} HTTP/1.1", f"Host: {self._named}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header may not have a line break")
        question = "\r\n".join([*lines, f"Content-Length: {len(content)}", "\r\n"]).encode() + content
        loop = asyncio.get_running_loop()
        ready = None if self._free.locked() else self._last_used()
        async with asyncio.timeout(self._read_timeout if ready else self._connect_timeout) as limit, self._free:
            connection = ready or self._last_used() or await self._opened()
            if connection is not ready:
                limit.reschedule(loop.time() + self._read_timeout)
            answer = await connection.ask(question)
            connection.idle_since = loop.time()
            self._idle.append(connection)
            return answer

    async def aclose(self) -> None:
        """Close what is idle. What is in use goes on, and who asks again opens anew."""
        while self._idle:
            self._idle.pop().close()
        await asyncio.sleep(0)  # the loop closes them in its next round

    def _last_used(self) -> "_Connection | None":
        since = asyncio.get_running_loop().time() - IDLE_S
        while self._idle and self._idle[0].idle_since < since:
            self._idle.popleft().close()
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
        return None

    async def _opened(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls)
        return connection


class _Connection(asyncio.Protocol):
    """One question at a time. What is named on_... is called by the parser."""

    idle_since = 0.0
    _transport: asyncio.Transport
    _headers: dict[str, str]
    _content: bytes

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._asked: asyncio.Future[Answer] | None = None

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def close(self) -> None:
        self._transport.abort()

    async def ask(self, question: bytes) -> Answer:
        self._asked = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        try:
            return await self._asked
        except BaseException:  # its answer may come yet, and must not be taken for the next one's
            self.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._tell(Broken(f"hung up: {error}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._tell(Broken(f"no answer in HTTP: {error}"))
            self.close()

    def on_message_begin(self) -> None:
        self._headers, self._content = {}, b""
        if self._asked is None:  # nobody knows what this answers
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._content += body

    def on_message_complete(self) -> None:
        if (status := self._parser.get_status_code()) >= 200:  # below that the answer is yet to come
            if not self._parser.should_keep_alive():
                self.close()
            self._tell((status, self._headers, self._content))

    def _tell(self, outcome: Answer | Broken) -> None:
        asked, self._asked = self._asked, None
        if asked is None or asked.done():  # cancelled
            return
        if isinstance(outcome, Broken):
            asked.set_exception(outcome)
        else:
            asked.set_result(outcome)
