"""HTTP to the model provider: kept-alive connections, no proxy, no cookies, no redirects, no retries."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any

import aiohttp
from yarl import URL

from .answers import as_dict, as_text
from .provider import ErrorKind, ProviderError, RawAnswer

CONNECT_S = 5.0
IDLE_S = 15.0
"""How long an idle connection is reused."""
MAX_DETAIL = 1_000
"""Characters of a vendor's message that callers get."""
BLAMING_CALLERS = (400, 404, 413, 422)
_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class Vendor:
    """Asks one vendor from one event loop. Opens its session on first use.

    `headers`, which hold the key, go with every request. `read_timeout` is in seconds without a byte.
    """

    def __init__(self, base_url: str, key: str, headers: Mapping[str, str], read_timeout: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        self._timeout = aiohttp.ClientTimeout(connect=CONNECT_S, sock_read=read_timeout)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        sent: Callable[[], object] | None = None,
    ) -> AsyncIterator[RawAnswer]:
        """Send one request. The body of the `async with` reads the answer, of any status; leaving it hangs up.

        Call `sent` just before the request goes out: from then on the vendor may bill it. Raise ProviderError:
        `unreachable` if nothing was sent, `timeout` or `broken_off` afterwards, also while the body reads.
        """
        url, headers = URL(self._base_url + path, encoded=True), {**self._headers, **(headers or {})}
        request = self._open().request(
            method, url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=sent
        )
        try:
            async with request as response:
                yield response
        except aiohttp.ClientError as error:  # its message may hold what was sent
            name = type(error).__name__
            if isinstance(error, _NOTHING_SENT):
                raise ProviderError("unreachable", f"no connection to the model provider ({name})") from None
            kind: ErrorKind = "timeout" if isinstance(error, TimeoutError) else "broken_off"
            raise ProviderError(kind, f"no whole answer from the model provider ({name})") from None

    async def failure(self, response: RawAnswer) -> ProviderError:
        """Return the error for an answer with a status of at least 300."""
        kind: ErrorKind = "limited" if response.status == 429 else "refused" if response.status < 500 else "failed"
        detail = retry_after = None
        if response.status in BLAMING_CALLERS:
            detail = _message_of(await response.read()).replace(self._key, "***")[:MAX_DETAIL]
        if kind == "limited":
            retry_after = _seconds_of(response.headers.get("Retry-After", ""))
        message = f"the model provider answered HTTP {response.status}"
        return ProviderError(
            kind, message, answered=True, detail=detail, retry_after=retry_after, status=response.status
        )

    async def aclose(self) -> None:
        """Close the connections. They are opened again when needed."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_call_sent)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                skip_auto_headers=("Accept",),
                trace_configs=[tracing],
            )
        return self._session


async def _call_sent(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
    if context.trace_request_ctx:
        context.trace_request_ctx()


def _seconds_of(retry_after: str) -> int | None:
    """Return the seconds of a Retry-After, which may be a date. None for anything else."""
    with suppress(ValueError, TypeError, OverflowError):  # TypeError: a date without a time zone
        if retry_after.isdecimal():
            return max(1, int(retry_after[:6]))
        return max(1, ceil((parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()))
    return None


def _message_of(body: bytes) -> str:
    """Return the message of an error, in either vendor's form."""
    try:
        return as_text(as_dict(as_dict(json.loads(body)).get("error")).get("message"))
    except (ValueError, RecursionError):
        return ""
