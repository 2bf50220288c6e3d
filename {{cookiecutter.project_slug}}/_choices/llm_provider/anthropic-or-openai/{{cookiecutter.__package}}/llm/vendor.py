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

from ..core.http_json import Connections
from .answers import as_dict, as_text, as_word
from .provider import Answer, ErrorKind, ProviderError

CONNECT_S = 5.0
MAX_DETAIL = 1_000
"""Characters of a vendor's message that callers get."""
BLAMING_CALLERS = (400, 404, 413, 422)
_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class HttpVendor(Connections):
    """Asks one vendor.

    `headers`, which hold the key, go with every request. `read_timeout` is in seconds without a byte.
    """

    def __init__(self, base_url: str, key: str, headers: Mapping[str, str], read_timeout: float) -> None:
        timeout = aiohttp.ClientTimeout(connect=CONNECT_S, sock_read=read_timeout)
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_call_sent)
        super().__init__(timeout=timeout, skip_auto_headers=("Accept",), trace_configs=[tracing])
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}

    @asynccontextmanager
    async def ask(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None, sent: Callable[[], object] = bool
    ) -> AsyncIterator[Answer]:
        """Send one request. The body of the `async with` reads the answer; leaving it hangs up.

        Call `sent` just before the request goes out: from then on the vendor may bill it. Raise ProviderError:
        `unreachable` if nothing was sent, `timeout` or `broken_off` afterwards, also while the body reads, and another
        for an answer that is an error.
        """
        url, headers = URL(self._base_url + path, encoded=True), {**self._headers, **(headers or {})}
        request = self.open().post(url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=sent)
        try:
            async with request as response:
                answer = Answer(response.headers, response.content.iter_any())
                if response.status >= 300:
                    raise await self._failure(response.status, answer)
                yield answer
        except aiohttp.ClientError as error:  # its message may hold what was sent
            name = type(error).__name__
            if isinstance(error, _NOTHING_SENT):
                raise ProviderError("unreachable", f"no connection to the model provider ({name})") from None
            kind: ErrorKind = "timeout" if isinstance(error, TimeoutError) else "broken_off"
            raise ProviderError(kind, f"no whole answer from the model provider ({name})") from None

    async def _failure(self, status: int, answer: Answer) -> ProviderError:
        kind: ErrorKind = "limited" if status == 429 else "refused" if status < 500 else "failed"
        detail = None
        if status in BLAMING_CALLERS:
            detail = _message_of(await answer.read()).replace(self._key, "***")[:MAX_DETAIL]
        retry_after = _seconds_of(answer.headers.get("Retry-After", "")) if kind == "limited" else None
        message = f"the model provider answered HTTP {status}"
        return ProviderError(kind, message, answered=True, detail=detail, retry_after=retry_after, status=status)


async def _call_sent(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
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
        return as_word(as_text(as_dict(as_dict(json.loads(body)).get("error")).get("message"))) or ""
    except (ValueError, RecursionError):
        return ""
