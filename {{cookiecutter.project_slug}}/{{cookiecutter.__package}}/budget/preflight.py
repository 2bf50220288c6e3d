"""The preflight: refuse what no budget can pay before any work is done. Advisory: the hold decides."""

import time
import uuid
from functools import lru_cache

from ..calls.models import Call
from ..calls.record import CallLog
from ..core.cache import SingleFlight
from ..core.config import Settings
from ..core.metrics import DENIALS
from ..core.money import UNIT
from ..core.problems import Problem, code_of_cycles
from .balances import FRESH_S, REMEMBERED_TENANTS, Ledger, Snapshot
from .client import Clients, code_of_response
from .fail_open import FailOpen
from .prices import Prices
from .refusal import refusal_of
from .subject import scopes_of, subject_of


class Preflight:
    """Checks cached balances. Reads short ones anew if they are old, and asks Cycles (`decide`) if there are none."""

    def __init__(
        self, settings: Settings, prices: Prices, clients: Clients, calls: CallLog, fail_open: FailOpen
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._calls = calls
        self._fail_open = fail_open
        self._least_cost = prices.least_cost(settings.models)
        """Microcents of the cheapest call there is."""
        self._scopes = lru_cache(REMEMBERED_TENANTS)(lambda tenant: scopes_of(subject_of(settings, tenant)))
        """The scopes that every call of a tenant counts in."""
        self._deciding = SingleFlight[str, str | None]()

    async def check(self, tenant: str) -> None:
        """Raise Problem if no call can be paid (402, 403) or Cycles does not say (429, 500, 503)."""
        try:
            code = await self._code(tenant)
            if code and not (code == "budget_unavailable" and self._fail_open.enabled):
                raise await refusal_of(self._clients.balances, code, tenant, self._scopes(tenant), self._least_cost)
        except Problem as problem:
            DENIALS.labels(problem.code).inc()
            self._calls.add(Call(tenant=tenant, route="preflight", outcome=problem.code))
            raise

    async def _code(self, tenant: str) -> str | None:
        """Return the code by which every call is refused, None if one may be paid."""
        balances = self._clients.balances
        if self._clients.breaker.refuses:
            return "budget_unavailable"
        known = balances.known(tenant)
        if known is None:
            return await self._deciding.run(tenant, lambda: self._decide(tenant))
        short = self._short(tenant, known)
        if short and time.monotonic() - short.asked_at > FRESH_S:
            try:
                known = await balances.read(tenant)
            except Problem as problem:
                return problem.code
            short = self._short(tenant, known)
        return (short.blocked or "budget_exceeded") if short else None

    def _short(self, tenant: str, known: Snapshot) -> Ledger | None:
        """Return the first ledger that could pay for no call, even if every hold were released."""
        for ledger in known.along(self._scopes(tenant)):
            if ledger.blocked or ledger.remaining + ledger.reserved < self._least_cost:
                return ledger
        return None

    async def _decide(self, tenant: str) -> str | None:
        client = await self._clients.of(tenant)
        question = {
            "idempotency_key": str(uuid.uuid4()),
            "subject": subject_of(self._settings, tenant),
            "action": {"kind": "llm.completion", "name": "preflight"},
            "estimate": {"unit": UNIT, "amount": self._least_cost},
        }
        response = await client.decide(question)
        if not response.is_success:
            return code_of_response(response)
        denied = response.get_body_attribute("decision") == "DENY"
        return code_of_cycles(409, response.get_body_attribute("reason_code")) if denied else None
