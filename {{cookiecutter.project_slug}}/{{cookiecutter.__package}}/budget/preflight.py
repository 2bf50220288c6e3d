"""The preflight: refuse what the budget cannot pay before any work is done. Advisory: the hold decides."""

import uuid
from functools import lru_cache

from cachetools import TTLCache
from runcycles import Action, Amount, DecisionRequest, Unit

from ..calls.record import CallLog, CallRecord
from ..memo import Once
from ..metrics import DENIALS
from ..problems import Problem, code_of_cycles
from ..settings import Settings
from .balances import REMEMBERED_TENANTS, UNIT, Ledger, Snapshot
from .clients import Clients, code_of_response
from .fail_open import FailOpen
from .subject import scopes_of, subject_of

ALLOWED_S = 15.0
"""How long `decide` is not asked again after it allowed; the first hold brings the balances anyway."""

FRESH_S = 1.0
"""How old a remembered balance or denial may be to deny by itself: others change balances too."""


class Preflight:
    """Asks the memory first; Cycles (`decide`) where nothing is known, or a shortage was known a while ago.

    `least_cost` is the microcents of the cheapest call there is.
    """

    def __init__(
        self, settings: Settings, clients: Clients, fail_open: FailOpen, least_cost: int, calls: CallLog
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._clients = clients
        self._fail_open = fail_open
        self._least_cost = least_cost
        self._scopes = lru_cache(REMEMBERED_TENANTS)(lambda tenant: scopes_of(subject_of(settings, tenant)))
        """Those that every call of a tenant counts in."""
        self._allowed: TTLCache[str, bool] = TTLCache(REMEMBERED_TENANTS, ALLOWED_S)
        self._denied: TTLCache[str, str] = TTLCache(REMEMBERED_TENANTS, FRESH_S)
        self._deciding = Once()

    async def check(self, tenant: str) -> None:
        """Raises Problem: 402 or 403 when no call can be paid, 503 when Cycles is known to be out of reach,
        and whatever else `decide` is refused with (429, 500)."""
        try:
            await self._check(tenant)
        except Problem as problem:
            self._calls.add(CallRecord(tenant=tenant, route="preflight", outcome=problem.code))
            raise

    async def _check(self, tenant: str) -> None:
        if self._clients.breaker.refuses:
            self._out_of_reach()
            return
        known = self._clients.balances.known(tenant)
        short = self._short(tenant, known) if known else None
        if known and short and known.age <= FRESH_S:
            raise _refusal(tenant, *short)
        if (short or known is None) and not self._allowed.get(tenant):
            code = self._denied.get(tenant) or await self._deciding.get(tenant, lambda: self._decide(tenant))
            if code == "budget_unavailable":
                self._out_of_reach()
            elif code is not None:
                raise _refusal(tenant, code, short[1] if short else None)

    def _out_of_reach(self) -> None:
        if not self._fail_open.enabled:
            DENIALS.labels("budget_unavailable").inc()
            raise Problem("budget_unavailable")

    def _short(self, tenant: str, known: Snapshot) -> tuple[str, Ledger] | None:
        """Why no call can be paid, as far as is known: even with all holds given back it would not do."""
        for ledger in known.along(self._scopes(tenant)):
            if ledger.blocked:
                return ledger.blocked, ledger
            if ledger.remaining + ledger.reserved < self._least_cost:
                return "budget_exceeded", ledger
        return None

    async def _decide(self, tenant: str) -> str | None:
        client = await self._clients.of(tenant)
        response = await client.decide(
            DecisionRequest(
                idempotency_key=str(uuid.uuid4()),
                subject=subject_of(self._settings, tenant),
                action=Action(kind="llm.completion", name="preflight"),
                estimate=Amount(unit=Unit.USD_MICROCENTS, amount=self._least_cost),
            )
        )
        if not response.is_success:
            return code_of_response(response)
        if response.get_body_attribute("decision") != "DENY":
            self._allowed[tenant] = True
            return None
        self._denied[tenant] = code_of_cycles(409, response.get_body_attribute("reason_code"))
        return self._denied[tenant]


def _refusal(tenant: str, code: str, ledger: Ledger | None = None) -> Problem:
    """The problem to raise, counted."""
    DENIALS.labels(code).inc()
    tightest = {"scope": ledger.scope, "remaining": ledger.remaining} if ledger else {}
    return Problem(code, members={"tenant": tenant, "unit": UNIT, **tightest})
