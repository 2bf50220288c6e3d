"""HTTP to the model provider: kept-alive connections, no proxy, no cookies, no redirects, no retries."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from .provider import ProviderError

CONNECT_S = 5.0
IDLE_S = 15.0
"""How long an idle connection is reused."""


class Vendor:
    """Asks one vendor from one event loop. Opens its session on first use.

    `headers` go with every request; errors never quote them. `read_timeout` is in seconds without a byte.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], read_timeout: float) -> None:
        self._base_url = base_url.rstrip("/")
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
