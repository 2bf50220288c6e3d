"""Client for the Cycles Admin API, as far as tenants need it. Amounts are microcents."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AwareDatetime, BaseModel, BeforeValidator, SecretStr

from ..core.http_json import JsonClient
from ..core.money import MAX_MICROCENTS, UNIT, format_usd
from ..core.problems import Problem

KEY_LIFE = timedelta(days=365)
"""Lifetime of a new Cycles key, which cannot be changed later. The server's default is 90 days."""
RETIRE_AFTER = timedelta(minutes=15)
"""Grace period of a replaced key, after which it has no live hold.

A hold of 60 s with ten extensions lives 11 minutes, plus 60 s to commit it. In the rest, all processes read the new key
(client.KEY_CACHED_S).
"""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 3.0, 17.0
PAGE_SIZE = "100"

Body = dict[str, Any]
Microcents = Annotated[int, BeforeValidator(lambda value: value.get("amount") if isinstance(value, dict) else value)]


class AdminError(Problem):
    """The Admin API refused or failed. `answered` is its HTTP status, 0 without an answer."""

    def __init__(self, code: str, answered: int, detail: str) -> None:
        super().__init__(code, detail)
        self.answered = answered


class CyclesKey(BaseModel):
    """A Cycles API key. `key_secret` is returned once, when the key is created."""

    key_id: str
    name: str = ""
    key_prefix: str = ""
    status: str = "ACTIVE"
    expires_at: AwareDatetime | None = None
    key_secret: SecretStr | None = None


class AdminLedger(BaseModel):
    """A ledger. `status` is ACTIVE, FROZEN or CLOSED."""

    scope: str
    unit: str
    status: str
    allocated: Microcents
    remaining: Microcents
    spent: Microcents = 0
    reserved: Microcents = 0
    is_over_limit: bool = False


class Funded(BaseModel):
    """A ledger before and after it was funded. Cycles repeats this for 24 hours if the request is repeated."""

    previous_allocated: Microcents
    previous_spent: Microcents
    new_remaining: Microcents


class AdminApi:
    """Talks to the server over one HTTP session. Every method raises AdminError. No key is logged."""

    def __init__(self, base_url: str, admin_key: SecretStr | None) -> None:
        self._base_url = base_url.rstrip("/")
        self._admin_key = admin_key.get_secret_value() if admin_key else ""
        self._http = JsonClient(base_url, CONNECT_TIMEOUT_S, READ_TIMEOUT_S)

    @property
    def is_configured(self) -> bool:
        return bool(self._base_url and self._admin_key)

    def require(self) -> None:
        """Refuse without configured access. Call it before changing anything else."""
        if not self.is_configured:
            missing = "CYCLES_ADMIN_API_KEY" if self._base_url else "CYCLES_ADMIN_URL"
            raise AdminError("not_configured", 0, f"{missing} is missing. It is needed to manage tenants.")

    async def aclose(self) -> None:
        await self._http.aclose()

    async def check_access(self) -> None:
        """Check that the server answers and accepts the admin key."""
        await self._send("GET", "/v1/admin/tenants/access-check", allowed="tenant_not_found")

    async def ensure_tenant(self, tenant: str, name: str) -> None:
        """Create the Cycles tenant unless it exists under this name. Refuses one that is not active."""
        answer = await self._send("POST", "/v1/admin/tenants", {"tenant_id": tenant, "name": name})
        if answer.get("status", "ACTIVE") != "ACTIVE":
            detail = f"Cycles has a tenant {tenant} that is {answer['status']}. Choose another ID."
            raise AdminError("cycles_tenant_inactive", 409, detail)

    async def mint_key(self, tenant: str, name: str) -> CyclesKey:
        """Create a key with the server's default permissions, valid for KEY_LIFE. Not idempotent."""
        expires_at = (datetime.now(UTC) + KEY_LIFE).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"tenant_id": tenant, "name": name, "expires_at": expires_at}
        return CyclesKey.model_validate(await self._send("POST", "/v1/admin/api-keys", body))

    async def live_keys(self, tenant: str) -> list[CyclesKey]:
        """Return the tenant's keys that are not revoked, including those created elsewhere."""
        rows = await self._list("/v1/admin/api-keys", "keys", tenant_id=tenant)
        return [key for key in map(CyclesKey.model_validate, rows) if key.status == "ACTIVE"]

    async def revoke_key(self, key_id: str, reason: str) -> None:
        """Revoke a key. A revoked one is left as it is."""
        await self._send("DELETE", f"/v1/admin/api-keys/{key_id}", allowed="key_revoked", reason=reason)

    async def create_ledger(self, scope: str, *, allocated: int, overdraft: int) -> None:
        """Create a ledger. An existing one is left as it is."""
        amounts = {"allocated": _amount(allocated), "overdraft_limit": _amount(overdraft)}
        body = {"tenant_id": _tenant_of(scope), "scope": scope, "unit": UNIT, **amounts}
        await self._send("POST", "/v1/admin/budgets", body, allowed="duplicate_resource")

    async def ledgers(self, scope: str) -> list[AdminLedger]:
        """Return the ledgers at a scope and below it, in every unit."""
        rows = await self._list("/v1/admin/budgets", "ledgers", tenant_id=_tenant_of(scope), scope_prefix=scope)
        found = map(AdminLedger.model_validate, rows)
        return [ledger for ledger in found if f"{ledger.scope}/".startswith(f"{scope}/")]  # not of `acme-2` for `acme`

    async def all_ledgers(self) -> list[AdminLedger]:
        """Return all ledgers in our unit. One request returns 100, whosever they are."""
        return [AdminLedger.model_validate(row) for row in await self._list("/v1/admin/budgets", "ledgers", unit=UNIT)]

    async def fund(self, scope: str, operation: str, amount: int, idempotency_key: str) -> Funded:
        """CREDIT, RESET or RESET_SPENT a ledger. A frozen ledger refuses.

        The server keeps idempotency keys for 24 hours, in one namespace for all tenants.
        """
        for ledger in await self.ledgers(scope) if operation == "CREDIT" else ():
            # the server would write it, answer 500, and not read the ledger again
            if (ledger.scope, ledger.unit) == (scope, UNIT) and ledger.allocated + amount > MAX_MICROCENTS:
                most = format_usd(MAX_MICROCENTS - ledger.allocated)
                raise AdminError("invalid_amount", 400, f"Cycles can't count that far. Credit at most ${most}.")
        tenant = _tenant_of(scope)
        body = {"operation": operation, "amount": _amount(amount), "idempotency_key": idempotency_key}
        answer = await self._send("POST", "/v1/admin/budgets/fund", body, scope=scope, unit=UNIT, tenant_id=tenant)
        return Funded.model_validate(answer)

    async def set_overdraft(self, scope: str, limit: int) -> None:
        body = {"overdraft_limit": _amount(limit)}
        await self._send("PATCH", "/v1/admin/budgets", body, scope=scope, unit=UNIT)

    async def set_frozen(self, ledger: AdminLedger, *, frozen: bool) -> None:
        """Refuse new holds, or accept them again. Commits of live holds are always accepted."""
        path = f"/v1/admin/budgets/{'freeze' if frozen else 'unfreeze'}"
        await self._send("POST", path, {}, scope=ledger.scope, unit=ledger.unit)

    async def _list(self, path: str, member: str, **query: str) -> list[Any]:
        rows: list[Any] = []
        while True:
            page = await self._send("GET", path, limit=PAGE_SIZE, **query)
            rows += page.get(member, [])
            if not page.get("next_cursor"):
                return rows
            query["cursor"] = page["next_cursor"]

    async def _send(self, method: str, path: str, body: Body | None = None, /, allowed: str = "", **query: str) -> Body:
        """Send a request. `allowed` is an error code that counts as success.

        A POST needs a body: without a JSON content type Cycles answers 500.
        """
        self.require()
        server = f"The Cycles admin server at {self._base_url}"
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            status, _, answer = await self._http.request(method, target, {"X-Admin-API-Key": self._admin_key}, body)
        except OSError as error:
            fate = "" if method == "GET" else " A change may have been applied."
            advice = "Check CYCLES_ADMIN_URL and that the server is up, then try again."
            raise AdminError("admin_unreachable", 0, f"{server} does not answer.{fate} {advice}") from error
        if not answer or status >= 500 or 300 <= status < 400:
            raise AdminError("admin_failed", status, f"{server} answered {status} to {method} {path}. See its log.")
        if status == 401:
            raise AdminError("admin_key_refused", status, f"{server} refuses CYCLES_ADMIN_API_KEY.")
        code = str(answer.get("error", status)).lower()
        if status >= 400 and code != allowed:
            raise AdminError(code, status, f"Cycles refused: {answer.get('message') or code}")
        return answer


def _tenant_of(scope: str) -> str:
    """Return the Cycles tenant of a scope."""
    return scope.partition("/")[0].removeprefix("tenant:")


def _amount(microcents: int) -> dict[str, Any]:
    return {"unit": UNIT, "amount": microcents}
