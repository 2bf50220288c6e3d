"""Clients of Cycles: one per tenant and call, over one HTTP session.

`TenantClient` is the SDK's `AsyncCyclesClient` with its public methods overridden, so the guard and `@cycles` share it.
A commit is written to the outbox before it is sent, and can't be lost after that.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel
from runcycles import AsyncCyclesClient, CyclesConfig, CyclesResponse, ErrorCode

from ..core.breaker import Breaker
from ..core.cache import TTLCache
from ..core.config import Settings
from ..core.http_json import JsonClient
from ..core.logging import log
from ..core.metrics import UNCHARGED, UPSTREAM
from ..core.money import UNIT
from ..core.problems import WANT_OF_MONEY, Problem
from ..tenants.models import Tenant
from ..tenants.registry import DATABASE_ERRORS, Registry
from ..tenants.tenancy import CyclesKeys
from ..tenants.tenant_cache import VERSION_TTL_S
from .balances import REMEMBERED_TENANTS, Balances, ledgers_of
from .outbox import DEFERRED, Outbox, Settlement
from .subject import scopes_of

Body = BaseModel | dict[str, Any]
KEY_CACHED_S = 120
"""How long a decrypted Cycles key is kept. A rotated one is noticed sooner, by its 401."""
NO_ANSWER = CyclesResponse.transport_error(ConnectionError("Cycles is out of reach"))
RESERVATIONS = "/v1/reservations"
CODES = {code.upper(): code for code in (*WANT_OF_MONEY, "tenant_suspended", "budget_frozen", "budget_closed")}
CODES |= {"TENANT_CLOSED": "budget_closed", "LIMIT_EXCEEDED": "limit_exceeded"}
"""Our codes (problems.OUTCOMES) for Cycles' errors and reasons."""
DONE = {"commit": (200, "COMMITTED"), "event": (201, "APPLIED")}
"""Status code and status by which Cycles accepts a settlement."""


class TenantClient(AsyncCyclesClient):
    """Acts for one tenant. Made by `Clients.of`; holds no connection."""

    def __init__(self, clients: "Clients", tenant: str, config: CyclesConfig) -> None:
        # not super().__init__(), which opens a connection pool (34 ms); `@cycles` reads _config
        self._config = config
        self._tenant = tenant
        self._clients = clients
        self._reservation: dict[str, Any] = {}
        self.spent: Callable[[], dict[str, Any] | None] = lambda: None
        """Returns the commit that charges what was used, None if nothing was."""

    async def create_reservation(self, request: Body) -> CyclesResponse:
        """Reserve. While Cycles is out of reach, send only the breaker's probes.

        Raise one of sqlite_file.ERRORS, before anything is sent, if the outbox can't be written.
        """
        self._clients.outbox.check()
        if (deferred := DEFERRED.get()) and deferred.waiting:
            await deferred.book()
        self._reservation = plain(request)
        with self._clients.breaker.call() as admitted:
            return await self._send(RESERVATIONS, self._reservation) if admitted else NO_ANSWER

    async def extend_reservation(self, reservation_id: str, request: Body) -> CyclesResponse:
        return await self._send(f"{RESERVATIONS}/{reservation_id}/extend", plain(request))

    async def commit_reservation(self, reservation_id: str, request: Body) -> CyclesResponse:
        """Commit. Always a success: the sweeper retries until Cycles decides. `charged` is what ledgers took."""
        subject, action = self._reservation["subject"], self._reservation["action"]
        body, held = {**plain(request), "subject": subject, "action": action}, self._reservation["estimate"]["amount"]
        settlement = Settlement(tenant=self._tenant, body=body, kind="commit", reservation_id=reservation_id, held=held)
        if self._clients.outbox.add(settlement):
            return await self.settle(settlement)
        self._clients.balances.expect(self._tenant, scopes_of(subject), held, settlement.actual)
        return committed(settlement.actual)

    async def release_reservation(self, reservation_id: str, request: Body) -> CyclesResponse:
        """Release, or commit what was used: `@cycles` releases on any exception, and the guard at every end."""
        if commit := self.spent():
            return await self.commit_reservation(reservation_id, commit)
        return await self._send(f"{RESERVATIONS}/{reservation_id}/release", plain(request))

    async def decide(self, request: Body) -> CyclesResponse:
        return await self._send("/v1/decide", plain(request))

    async def create_event(self, request: Body) -> CyclesResponse:
        return await self._send("/v1/events", plain(request))

    async def list_reservations(self, **query_params: str) -> CyclesResponse:
        return await self._send(f"{RESERVATIONS}?{urlencode(query_params)}")

    async def get_reservation(self, reservation_id: str) -> CyclesResponse:
        return await self._send(f"{RESERVATIONS}/{reservation_id}")

    async def get_balances(self, **query_params: str) -> CyclesResponse:
        return await self._send(f"/v1/balances?{urlencode(query_params)}")

    async def aclose(self) -> None:
        """Do nothing: the session belongs to `Clients`."""

    async def settle(self, settlement: Settlement) -> CyclesResponse:
        """Send a settlement, changed until Cycles takes it, and store the outcome in the outbox.

        Return a commit's answer, also while the outcome is unknown: the outbox sees to it.
        """
        outbox = self._clients.outbox
        while True:
            answer = await self._send(*settlement.request)
            if not settlement.adapt(error_of(answer), is_final=is_refused(answer)):
                break
            outbox.save(settlement)
        charged = charged_by(answer, settlement)
        if charged is None:
            outbox.postpone(settlement, (answer.retry_after_ms_header or 0) / 1000)
            log.warning("not settled yet", tenant=self._tenant, settlement=settlement.name, status=answer.status)
            return committed(settlement.actual)
        uncharged = settlement.actual - charged
        if outbox.delete(settlement) and uncharged > 0 and not settlement.is_observed:
            UNCHARGED.inc(uncharged)
            log.warning("uncharged", tenant=self._tenant, settlement=settlement.name, microcents=uncharged)
        return committed(charged)

    async def _send(self, path: str, body: dict[str, Any] | None = None) -> CyclesResponse:
        answer = await self._clients.send(path, self._config.api_key, body)
        if answer.status == 401:  # the key may have been rotated since it was read
            refused = self._config.api_key
            try:
                self._config = await self._clients.reread(self._tenant)
            except Exception:
                log.exception("Cycles key not read", tenant=self._tenant)
            if self._config.api_key != refused:
                answer = await self._clients.send(path, self._config.api_key, body)
        return answer


class Clients:
    """What all clients of a process share. Use it inside one event loop; close it at the end."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._keys = CyclesKeys(settings)
        self._configs = TTLCache[str, CyclesConfig](REMEMBERED_TENANTS, KEY_CACHED_S)
        self._rows = TTLCache[str, Tenant | None](REMEMBERED_TENANTS, VERSION_TTL_S)
        self._http = JsonClient(settings.cycles_base_url, settings.cycles_connect_timeout, settings.cycles_read_timeout)
        self.outbox = Outbox(settings.cycles_journal_dir, settings.cycles_base_url, settings.retry_delay)
        self.breaker = Breaker()
        self.balances = Balances(self._ask_balances)

    async def of(self, tenant: str) -> TenantClient:
        """Return a client for `tenant`. Raise Problem budget_misconfigured if it has no usable Cycles key."""
        return TenantClient(self, tenant, await self._configs.load(tenant, lambda: self.reread(tenant)))

    def use(self, row: Tenant) -> None:
        """Cache the key of a tenant that was just read. Raise Problem budget_misconfigured."""
        self._configs[row.id] = self._config_of(row.id, row)

    async def is_observed(self, tenant: str) -> bool:
        """Return whether the tenant is served beyond its budget: none is while the database fails."""
        with suppress(*DATABASE_ERRORS):
            row = await self._rows.load(tenant, lambda: self._registry.tenant(tenant))
            return row is not None and row.observed
        return False

    async def reread(self, tenant: str) -> CyclesConfig:
        """Read the tenant's key from the registry, even if it is cached."""
        config = self._configs[tenant] = self._config_of(tenant, await self._registry.tenant(tenant))
        return config

    async def send(self, path: str, api_key: str, body: dict[str, Any] | None = None) -> CyclesResponse:
        """POST a body, or GET. Without an answer return a response of status -1, as the SDK does."""
        asked_at, method = time.monotonic(), "GET" if body is None else "POST"
        UPSTREAM.inc()
        try:
            status, headers, answer = await self._http.request(method, path, {"X-Cycles-API-Key": api_key}, body)
        except OSError as error:
            self.breaker.failed()
            return CyclesResponse.transport_error(error)
        if status < 300:
            self.breaker.succeeded()
            self.balances.remember(ledgers_of(answer, asked_at))
            return CyclesResponse.success(status, answer)
        message = str(answer.get("message") or status)
        if status == 401 and message == "INTERNAL_ERROR":  # Redis is down
            self.breaker.failed()
        elif status != 503:  # readiness answers it, without asking the engine
            self.breaker.succeeded()
        return CyclesResponse.http_error(status, message, answer, {"retry-after": headers.get("Retry-After", "")})

    async def is_ready(self) -> bool:
        """Return whether Cycles can serve, its Redis included."""
        return (await self.send("/actuator/health/readiness", "")).is_success

    async def aclose(self) -> None:
        """Close the connections and the outbox. Both are opened again when needed."""
        await self._http.aclose()
        self.outbox.close()

    def _config_of(self, tenant: str, row: Tenant | None) -> CyclesConfig:
        settings = self._settings
        return CyclesConfig(
            base_url=settings.cycles_base_url,
            api_key=self._keys.open(row.sealed_key if row else ""),
            tenant=settings.root_of(tenant)["tenant"],
            app=settings.cycles_app,
            # the outbox replaces these
            retry_enabled=False,
            journal_enabled=False,
        )

    async def _ask_balances(self, tenant: str) -> None:
        client = await self.of(tenant)
        if self.breaker.refuses:
            raise Problem("budget_unavailable")
        asked_at = time.monotonic()
        query = {**self._settings.root_of(tenant), "limit": "200"}
        while True:
            response = await client.get_balances(**query)
            if not response.is_success:
                raise Problem(code_of_response(response))
            if not (cursor := response.get_body_attribute("next_cursor")):
                break
            query["cursor"] = cursor
        self.balances.listed(tenant, asked_at)


def plain(body: Body) -> dict[str, Any]:
    """Return a request as JSON data. The SDK passes models in some places and dicts in others."""
    return body if isinstance(body, dict) else body.model_dump(mode="json", exclude_none=True)


def committed(microcents: int) -> CyclesResponse:
    """Return an answer to a commit: ledgers took so much."""
    return CyclesResponse.success(200, {"status": "COMMITTED", "charged": {"unit": UNIT, "amount": microcents}})


def charged_by(answer: CyclesResponse, settlement: Settlement) -> int | None:
    """Return the microcents that ledgers took of the settlement, None if it has to be sent again.

    A success that does not follow the protocol decides nothing.
    """
    actual = settlement.actual
    if answer.is_success:
        if (answer.status, error_of(answer, "status")) != DONE[settlement.kind]:
            return None
        charged = answer.get_body_attribute("charged")
        if charged is None and settlement.kind == "event":  # only told if less
            return actual
        amount = charged.get("amount") if isinstance(charged, dict) else None
        return amount if isinstance(amount, int) else None
    if not is_refused(answer) or error_of(answer) == "BUDGET_FROZEN":
        return None
    return actual if error_of(answer) == "IDEMPOTENCY_MISMATCH" else 0  # it was charged with another amount


def is_refused(answer: CyclesResponse) -> bool:
    """Return whether Cycles refuses for good. A gateway's answer in its place does not count."""
    if not answer.is_client_error or answer.status in (401, 403, 429):
        return False
    code = ErrorCode.from_string(error_of(answer) or None)
    return answer.status == 410 or (code is not None and not code.is_retryable)


def code_of_response(response: CyclesResponse) -> str:
    """Return our code (problems.OUTCOMES) for an answer that is not a success.

    The error of a 401 is always UNAUTHORIZED: its message distinguishes a bad key, a suspended tenant, a Redis outage.
    """
    error = error_of(response, "message" if response.status == 401 else "error")
    if response.status <= 0 or response.status >= 500 or error == "INTERNAL_ERROR":
        return "budget_unavailable"
    return "limit_exceeded" if response.status == 429 else CODES.get(error, "budget_misconfigured")


def error_of(response: CyclesResponse, member: str = "error") -> str:
    """Return a member of the answer as text. A gateway's may be anything: `{"error": {"code": 403}}`."""
    return str(response.get_body_attribute(member) or "")
