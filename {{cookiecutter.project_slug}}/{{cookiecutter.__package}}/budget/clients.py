"""The SDK's clients, one per tenant, over one shared pool of connections.

The plain `AsyncCyclesClient` opens an httpx pool of its own: 34 ms and 0.8 MB each. `TenantClient` is the same
client (the SDK's `stream_reservation` and `@cycles` take it) whose calls go out over the shared `Connections`.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import structlog
from cachetools import TTLCache
from pydantic import BaseModel, TypeAdapter
from runcycles import AsyncCyclesClient, CyclesConfig, CyclesResponse
from structlog.contextvars import get_contextvars

from ..breaker import Breaker
from ..calls.record import Amendment
from ..metrics import UNCHARGED, UPSTREAM
from ..problems import Problem, code_of_cycles
from ..settings import Settings
from ..tenants.registry import Registry
from ..tenants.tenancy import CyclesKeys, owner_of
from ..tracing import traced
from .balances import REMEMBERED_TENANTS, Balances, ledgers_of
from .connections import Connections
from .live import Live
from .sdk import is_given_up, live_in

log = structlog.get_logger(__name__)

Call = Callable[[BaseModel | dict[str, Any]], Awaitable[CyclesResponse]]
KEY_CACHED_S = 120
"""How long a decrypted Cycles key is kept; a rotated one is seen sooner, by its 401."""
CAPPED = ("OVERDRAFT_LIMIT_EXCEEDED", "IDEMPOTENCY_MISMATCH")
"""A commit that is to be tried with what was held. The second: it was, and its answer got lost."""
COMMIT_STATUS = dict.fromkeys(
    ("NOT_FOUND", "RESERVATION_FINALIZED", "TENANT_CLOSED", "UNIT_MISMATCH", "INVALID_REQUEST"), 410
)
"""The SDK drops a commit that is refused, as when Cycles has lost the hold; after a 410 it books an event instead."""
EVENT_STATUS = {"BUDGET_FROZEN": 503}
"""The SDK drops an event that is refused, and tries again after a 503."""
NO_ANSWER = CyclesResponse.transport_error(ConnectionError("Cycles is out of reach"))
_JSON_OBJECT = TypeAdapter(dict[str, Any])


class TenantClient(AsyncCyclesClient):
    """One tenant's client for one piece of work; made by `Clients.of`, it holds no connection, so nothing to close.

    `reserved` and `settled` keep the engine's last answers to reserve and to commit or release: the SDK's
    exceptions drop the body, and its context managers do not tell what was charged.
    """

    def __init__(self, clients: "Clients", tenant: str, config: CyclesConfig) -> None:
        # not super().__init__: it would open a pool
        self._tenant = tenant
        self._config = config
        self._clients = clients
        self.reserved = NO_ANSWER
        self.settled = NO_ANSWER
        self._held = 0

    @property
    def config(self) -> CyclesConfig:
        return self._config

    async def create_reservation(self, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        body = plain(request)
        if not self._held:  # counted before it is asked for: the answer may come when nobody lives to count it
            amount = body["estimate"]["amount"]
            self._clients.live.change(1, amount)
            self._held = amount
        self.reserved = await self._ask(super().create_reservation, body)
        return self.reserved

    def settling(self) -> None:
        """A dying process does not lose the hold any more: its commit is in the journal, or the hold has ended."""
        if self._held:
            self._clients.live.change(-1, -self._held)
            self._held = 0

    async def commit_reservation(self, reservation_id: str, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        """Commit; what an overdraft limit refuses is charged as far as the hold goes, never dropped."""
        self.settling()
        body = plain(request)
        response = await super().commit_reservation(reservation_id, body)
        if response.get_body_attribute("error") in CAPPED:
            response = await self.get_reservation(reservation_id)  # without an answer the SDK tries again
            if held := response.get_body_attribute("reserved"):
                response = await super().commit_reservation(reservation_id, {**body, "actual": held})
        response = with_status(response, COMMIT_STATUS)
        self._amend(reservation_id, body, response)
        self.settled = response
        return response

    async def release_reservation(self, reservation_id: str, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        self.settled = await super().release_reservation(reservation_id, request)
        self.settling()
        return self.settled

    async def decide(self, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        return await self._ask(super().decide, request)

    async def create_event(self, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        """Book a spend that has no hold. What a frozen budget refuses waits, what else is refused is noted."""
        body = event_of(request)
        response = with_status(await super().create_event(body), EVENT_STATUS)
        self._amend(settlement_of(body), body, response)
        return response

    async def aclose(self) -> None:
        """Nothing: the connections belong to `Clients`."""

    def _amend(self, settlement: str, body: dict[str, Any], response: CyclesResponse) -> None:
        if amendment := note_uncharged(self._tenant, settlement, body, response):
            self._clients.on_uncharged(amendment)

    async def _ask(self, call: Call, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        """A call that may be refused: only the breaker's probe goes out while Cycles is out of reach."""
        with self._clients.breaker.call() as admitted:
            return await call(request) if admitted else NO_ANSWER

    async def _post(self, path: str, body: BaseModel | dict[str, Any]) -> CyclesResponse:
        data = plain(body)
        headers = {"X-Idempotency-Key": data["idempotency_key"], "Content-Type": "application/json"}
        return await self._send("POST", path, headers, _JSON_OBJECT.dump_json(data))

    async def _get(self, path: str, params: dict[str, str] | None = None) -> CyclesResponse:
        return await self._send("GET", f"{path}?{urlencode(params)}" if params else path, {})

    async def _send(self, method: str, target: str, headers: dict[str, str], content: bytes = b"") -> CyclesResponse:
        headers["X-Cycles-API-Key"] = self._config.api_key
        response = await self._clients.send(method, target, headers, content)
        if response.status == 401 and await self._has_newer_key():
            headers["X-Cycles-API-Key"] = self._config.api_key
            response = await self._clients.send(method, target, headers, content)
        return response

    async def _has_newer_key(self) -> bool:
        """After a 401: the key may have been rotated since it was read."""
        used = self._config.api_key
        self._config = await self._clients.reread(self._tenant)
        return self._config.api_key != used


class Clients:
    """What all tenants' clients of one process share. Open it inside the running event loop; close it at the end."""

    def __init__(self, settings: Settings, registry: Registry, on_uncharged: Callable[[Amendment], None]) -> None:
        self._settings = settings
        self._registry = registry
        self._keys = CyclesKeys(settings)
        self._configs: TTLCache[str, CyclesConfig] = TTLCache(REMEMBERED_TENANTS, KEY_CACHED_S)
        self._connections = Connections(
            settings.cycles_base_url, settings.cycles_connect_timeout, settings.cycles_read_timeout
        )
        journal_dir = settings.cycles_journal_dir
        self.live = live_in.setdefault(str(journal_dir), Live(journal_dir))
        self.breaker = Breaker()
        self.balances = Balances(self._ask_balances)
        self.on_uncharged = on_uncharged

    async def of(self, tenant: str) -> TenantClient:
        """A client that acts for `tenant`. Raises Problem budget_misconfigured if it has no usable Cycles key."""
        return TenantClient(self, tenant, self._configs.get(tenant) or await self.reread(tenant))

    async def reread(self, tenant: str) -> CyclesConfig:
        """The tenant's configuration with its key as it stands in the registry now."""
        row = await self._registry.tenant(tenant)
        config = self._settings.cycles_config(tenant, self._keys.open(row.sealed_key if row else ""))
        self._configs[tenant] = config
        return config

    async def send(self, method: str, target: str, headers: dict[str, str], content: bytes = b"") -> CyclesResponse:
        """One HTTP call. No answer is a CyclesResponse of status -1, as in the SDK; it raises nothing else."""
        asked_at = time.monotonic()
        UPSTREAM.inc()
        if traceparent := get_contextvars().get("traceparent"):
            headers = {**headers, "traceparent": traceparent}
        try:
            with traced(method, target, headers) as span:
                status, told, answer = await self._connections.request(method, target, headers, content)
                if span:
                    span.set_attribute("http.response.status_code", status)
        except OSError as error:
            self.breaker.failed()
            return CyclesResponse.transport_error(error)
        body = _json_object(answer)
        if status < 300:
            self.breaker.succeeded()
            self.balances.remember(ledgers_of(body, asked_at))
            return CyclesResponse.success(status, body)
        message = str(body.get("message") or status)
        if status == 401 and message == "INTERNAL_ERROR":  # how the engine reports that Redis is down
            self.breaker.failed()
        elif status != 503:  # readiness says no: nothing was asked of the engine
            self.breaker.succeeded()
        return CyclesResponse.http_error(status, message, body, told)

    async def is_ready(self) -> bool:
        """Whether the engine says that it can serve (its readiness includes Redis)."""
        response = await self.send("GET", "/actuator/health/readiness", {})
        return response.is_success

    async def aclose(self) -> None:
        await self._connections.aclose()
        self.live.close()

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


def plain(body: BaseModel | dict[str, Any]) -> dict[str, Any]:
    """The JSON of a request: the SDK hands over its models in one place and dicts in another."""
    return body.model_dump(mode="json", exclude_none=True) if isinstance(body, BaseModel) else body


def event_of(request: BaseModel | dict[str, Any]) -> dict[str, Any]:
    """An event that books what was spent already: the tenant's default policy might refuse it."""
    return {"overage_policy": "ALLOW_IF_AVAILABLE"} | plain(request)


def settlement_of(event: dict[str, Any]) -> str:
    """What the call's record names as its reservation: the hold that the event stands in for, else the event itself."""
    return str(event.get("metadata", {}).get("recovered_reservation_id", event["idempotency_key"]))


def with_status(response: CyclesResponse, statuses: Mapping[str, int]) -> CyclesResponse:
    """The answer, with another status for these errors: the SDK goes by that."""
    status = statuses.get(_text_of(response, "error"))
    return replace(response, status=status) if status else response


def note_uncharged(tenant: str, settlement: str, body: dict[str, Any], response: CyclesResponse) -> Amendment | None:
    """Count and log what no ledger took of a commit or an event (`body`) that the client of `tenant` has sent.

    None if all was taken, or may yet be. `settlement` is what the call's record has as its reservation.
    """
    subject, error = body.get("subject"), _text_of(response, "error")  # commits name none
    charged = response.get_body_attribute("charged")  # told by events only if less
    refused = response.status in (400, 404, 409) and is_given_up(error) and error != "IDEMPOTENCY_MISMATCH"
    if subject and refused:
        charged = {"amount": 0}
    if not charged or (uncharged := body["actual"]["amount"] - charged["amount"]) <= 0:
        return None
    # one key may serve many tenants, and the journal brings home what is any of theirs
    scopes = ["/".join(f"{level}:{name}" for level, name in (subject or {}).items())]
    scopes += [ledger.scope for ledger in ledgers_of(response.body, 0.0)]
    payer = next((owner for scope in scopes if (owner := owner_of(scope))), tenant)
    UNCHARGED.inc(uncharged)
    log.warning("spend not taken by the ledger", tenant=payer, settlement=settlement, microcents=uncharged)
    return Amendment(payer, settlement, uncharged)


def code_of_response(response: CyclesResponse) -> str:
    """Our code (problems.OUTCOMES) for an answer that is not a success."""
    return code_of_cycles(response.status, _text_of(response, "error"), _text_of(response, "message"))


def _text_of(response: CyclesResponse, name: str) -> str:
    """A member of the answer. What a gateway says in Cycles' place may be no text: `{"error": {"code": 403}}`."""
    return str(response.get_body_attribute(name))


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        return _JSON_OBJECT.validate_json(content)
    except ValueError:
        return {}
