"""HTTP to the model provider: kept-alive connections, no proxy, no cookies, no redirects, no retries."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from math import ceil
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from .answers import as_dict
from .provider import ErrorKind, ProviderError

CONNECT_S = 5.0
IDLE_S = 15.0
"""How long an idle connection is reused."""
MAX_ANSWER_BYTES = 2**24
MAX_DETAIL = 1_000
"""Characters of a vendor's message that callers get."""
BLAMING_CALLERS = (400, 413, 422)


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
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request. The body of the `async with` reads `content.iter_any()`; leaving it hangs up.

        Call `sent` just before the request goes out: from then on the vendor may bill it. Any status is an answer.
        Raise ProviderError: `unreachable` if nothing was sent, `timeout` or `broken_off` afterwards.
        """
        progress = SimpleNamespace(is_sent=False, sent=sent)
        try:
            async with self._open().request(
                method,
                URL(self._base_url + path, encoded=True),
                data=body,
                headers={**self._headers, **(headers or {})},
                allow_redirects=False,
                trace_request_ctx=progress,
            ) as response:
                yield response
        except aiohttp.ClientError as error:
            raise _provider_error(error, progress.is_sent) from None  # its message may hold what was sent

    async def failure(self, response: aiohttp.ClientResponse) -> ProviderError:
        """Return the error for an answer with a status of at least 300."""
        kind: ErrorKind = "limited" if response.status == 429 else "refused" if response.status < 500 else "failed"
        message, detail = f"the model provider answered HTTP {response.status}", None
        if response.status in BLAMING_CALLERS:
            detail = _message_of(await read(response)).replace(self._key, "***")[:MAX_DETAIL] or None
        retry_after = _seconds(response.headers.get("Retry-After", "")) if kind == "limited" else None
        return ProviderError(kind, message, answered=True, detail=detail, retry_after=retry_after)

    async def aclose(self) -> None:
        """Close the connections. They are opened again when needed."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_note_sent)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                skip_auto_headers=("Accept",),
                trace_configs=[tracing],
            )
        return self._session


async def read(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body. Raise ProviderError if it is too large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ProviderError("failed", "the answer of the model provider is too large")
    return bytes(body)


async def _note_sent(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    progress = context.trace_request_ctx
    progress.is_sent = True
    if progress.sent:
        progress.sent()


def _provider_error(error: aiohttp.ClientError, is_sent: bool) -> ProviderError:
    name = type(error).__name__
    if not is_sent:
        return ProviderError("unreachable", f"no connection to the model provider ({name})")
    if isinstance(error, TimeoutError):
        return ProviderError("timeout", "the model provider did not answer in time")
    return ProviderError("broken_off", f"the connection to the model provider broke off ({name})")


def _message_of(body: bytes) -> str:
    """Return the message of an error, in either vendor's form."""
    try:
        message = as_dict(as_dict(json.loads(body)).get("error")).get("message")
    except (ValueError, RecursionError):
        return ""
    return message if isinstance(message, str) else ""


def _seconds(retry_after: str) -> int | None:
    """Return a Retry-After as whole seconds of at least 1, None if it is neither seconds nor a date."""
    try:
        seconds = (
            float(retry_after)
            if ":" not in retry_after
            else parsedate_to_datetime(retry_after).timestamp() - time.time()
        )
        return max(1, ceil(seconds))
    except (ValueError, OverflowError):
        return None
