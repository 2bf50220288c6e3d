"""The control plane of Cycles, as far as keeping tenants needs it. Amounts are microcents."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from urllib.parse import urlencode

from pydantic import AwareDatetime, BaseModel, BeforeValidator, SecretStr

from ..core.errors import TenantsError
from ..core.http_json import JsonClient
from ..core.money import UNIT

KEY_LIFE = timedelta(days=365)
"""How long a new Cycles key lives: it cannot be changed later. The engine's default is 90 days."""

CONNECT_S, ANSWER_S = 3.0, 17.0
_PAGE = 100


def _amount_of(value: object) -> object:
    return value.get("amount") if isinstance(value, dict) else value


Microcents = Annotated[int, BeforeValidator(_amount_of)]


class AdminError(TenantsError):
    """The control plane did not do what was asked. `status` is its HTTP status, 0 when no answer came."""

    def __init__(self, code: str, status: int, detail: str) -> None:
        super().__init__(code, detail)
        self.status = status

    @property
    def changed_nothing(self) -> bool:
        """Whether the request is certain to have had no effect: refused, or never sent."""
        return 400 <= self.status < 500 or self.code == "admin_unreachable"

    @property
    def concerns_all(self) -> bool:
        """Whether the next request would fare the same: nobody there, or the admin key is refused."""
        return self.status in (0, 401)


class CyclesKey(BaseModel):
    """A tenant's key at Cycles. `key_secret` is told once, when it is minted."""

    key_id: str
    name: str = ""
    key_prefix: str = ""
    status: str = "ACTIVE"
    expires_at: AwareDatetime | None = None
    key_secret: SecretStr | None = None


class AdminLedger(BaseModel):
    """One ledger as the control plane shows it. `status` is ACTIVE, FROZEN or CLOSED."""

    scope: str
    unit: str
    status: str
    allocated: Microcents
    remaining: Microcents
    reserved: Microcents = 0
    is_over_limit: bool = False


class AdminApi:
    """An async context manager over one HTTP session. Every method raises AdminError; no key is ever logged.

    `base_url` is CYCLES_ADMIN_URL, `admin_key` CYCLES_ADMIN_API_KEY.
    """

    def __init__(self, base_url: str, admin_key: SecretStr) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"X-Admin-API-Key": admin_key.get_secret_value()}
        self._http = JsonClient(base_url, CONNECT_S, ANSWER_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def check_access(self) -> None:
        """Raise AdminError unless the control plane answers and takes the admin key."""
        try:
            await self._send("GET", "/v1/admin/tenants/access-check")
        except AdminError as error:
            if error.status != 404:
                raise

    async def ensure_tenant(self, tenant: str, name: str) -> None:
        """Create the Cycles tenant; there already under this name is fine. Refused when it is not active."""
        answer = await self._send("POST", "/v1/admin/tenants", body={"tenant_id": tenant, "name": name})
        if answer.get("status", "ACTIVE") != "ACTIVE":
            detail = f"Cycles has a tenant {tenant} that is {answer['status']}: choose another ID"
            raise AdminError("cycles_tenant_inactive", 409, detail)

    async def mint_key(self, tenant: str, name: str) -> CyclesKey:
        """A new key with the engine's default permissions, for KEY_LIFE. Each call makes another one."""
        expires_at = (datetime.now(UTC) + KEY_LIFE).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"tenant_id": tenant, "name": name, "expires_at": expires_at}
        return CyclesKey.model_validate(await self._send("POST", "/v1/admin/api-keys", body=body))

    async def live_keys(self, tenant: str) -> list[CyclesKey]:
        """The tenant's keys that are not revoked, whoever made them."""
        rows = await self._list("/v1/admin/api-keys", "keys", {"tenant_id": tenant})
        return [key for key in map(CyclesKey.model_validate, rows) if key.status == "ACTIVE"]

    async def revoke_key(self, key_id: str, reason: str) -> None:
        """Revoke; revoked already is fine."""
        try:
            await self._send("DELETE", f"/v1/admin/api-keys/{key_id}", query={"reason": reason})
        except AdminError as error:
            if error.code != "key_revoked":
                raise

    async def create_ledger(self, scope: str, *, allocated: int, overdraft: int) -> bool:
        """Create a ledger. False, and nothing is changed, when the scope has one."""
        body = {
            "tenant_id": _tenant_of(scope),
            "scope": scope,
            "unit": UNIT,
            "allocated": _amount(allocated),
            "overdraft_limit": _amount(overdraft),
        }
        try:
            await self._send("POST", "/v1/admin/budgets", body=body)
        except AdminError as error:
            if error.code != "duplicate_resource":
                raise
            return False
        return True

    async def ledgers(self, tenant: str, scope: str = "") -> list[AdminLedger]:
        """All ledgers of a Cycles tenant, in every unit, whose scope begins with `scope`, as text does."""
        query = {"tenant_id": tenant, "scope_prefix": scope or f"tenant:{tenant}"}
        rows = await self._list("/v1/admin/budgets", "ledgers", query)
        return [AdminLedger.model_validate(row) for row in rows]

    async def fund(self, scope: str, operation: str, amount: int, idempotency_key: str) -> int:
        """CREDIT, or RESET_SPENT, a ledger; microcents that remain.

        The engine keeps idempotency keys for 24 h, in one space for all tenants. A frozen ledger refuses.
        """
        query = {"scope": scope, "unit": UNIT, "tenant_id": _tenant_of(scope)}
        body = {"operation": operation, "amount": _amount(amount), "idempotency_key": idempotency_key}
        answer = await self._send("POST", "/v1/admin/budgets/fund", query=query, body=body)
        return int(answer["new_remaining"]["amount"])

    async def set_overdraft(self, scope: str, limit: int) -> None:
        body = {"overdraft_limit": _amount(limit)}
        await self._send("PATCH", "/v1/admin/budgets", query={"scope": scope, "unit": UNIT}, body=body)

    async def freeze(self, ledger: AdminLedger) -> None:
        """No new holds; commits of live ones are still taken."""
        await self._send("POST", "/v1/admin/budgets/freeze", query=_place(ledger), body={})

    async def unfreeze(self, ledger: AdminLedger) -> None:
        await self._send("POST", "/v1/admin/budgets/unfreeze", query=_place(ledger), body={})

    async def _list(self, path: str, member: str, query: dict[str, str]) -> list[Any]:
        query = {**query, "limit": str(_PAGE)}
        rows: list[Any] = []
        while True:
            page = await self._send("GET", path, query=query)
            rows += page.get(member, [])
            if not page.get("next_cursor"):
                return rows
            query["cursor"] = page["next_cursor"]

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Send a request. A POST needs a body: without one it is not labelled JSON, and Cycles answers 500."""
        where = f"The Cycles admin server at {self._base_url}"
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            status, _, answer = await self._http.request(method, target, self._headers, body)
        except ConnectionRefusedError as error:
            detail = f"{where} is out of reach: is CYCLES_ADMIN_URL right, and the server up?"
            raise AdminError("admin_unreachable", 0, detail) from error
        except OSError as error:
            detail = f"{where} gave no answer, so what was asked for may be done or not: look, then try again"
            raise AdminError("admin_silent", 0, detail) from error
        if not answer or status >= 500 or 300 <= status < 400:
            raise AdminError("admin_failed", status, f"{where} answers {status} to {method} {path}: see its log")
        if status == 401:
            raise AdminError("admin_key_refused", status, f"{where} refuses CYCLES_ADMIN_API_KEY")
        if status >= 400:
            code = str(answer.get("error", status)).lower()
            raise AdminError(code, status, f"Cycles refuses: {answer.get('message') or code}")
        return answer


def _tenant_of(scope: str) -> str:
    """The Cycles tenant that a scope lies in."""
    return scope.partition("/")[0].removeprefix("tenant:")


def _place(ledger: AdminLedger) -> dict[str, str]:
    return {"scope": ledger.scope, "unit": ledger.unit}


def _amount(microcents: int) -> dict[str, Any]:
    return {"unit": UNIT, "amount": microcents}
