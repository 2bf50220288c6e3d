"""Tenants, their API keys and the calls, in the admin. No secret is shown: neither a Cycles key nor a digest."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from ..budget.balances import Ledger
from ..calls.models import Call
from ..core.problems import Problem
from ..tenants.models import ApiKey, Tenant
from ..tenants.service import tenant_service
from ..web.dependencies import state_of
from ..web.services import Services
from .pages import usd

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic for type checkers only


class ReadOnlyAdmin(ModelAdmin):
    """Rows that every operator may look at, and nobody edits: what is done to them is done by the commands' verbs."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self.admin_site.has_permission(request)

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    """Tenants with what this process remembers of their budgets; blank where it has not been told yet."""

    list_filter = ("status",)
    search_fields = ("id", "name")
    exclude = ("sealed_key",)
    actions = ("suspend", "resume")

    def get_list_display(self, request: HttpRequest) -> tuple[str | Callable[[Any], str | bool], ...]:
        def remaining(tenant: Tenant) -> str:
            ledger = _remembered(request, tenant.id)
            return usd(ledger.remaining) if ledger else ""

        def spent(tenant: Tenant) -> str:
            ledger = _remembered(request, tenant.id)
            return usd(ledger.spent) if ledger else ""

        return ("id", "name", "status", remaining, spent, "created_at")

    @admin.action(description="Suspend: refuse their callers, let calls in flight settle")
    def suspend(self, request: HttpRequest, chosen: QuerySet[Tenant]) -> None:
        self._do("suspend", request, chosen)

    @admin.action(description="Resume: serve them again")
    def resume(self, request: HttpRequest, chosen: QuerySet[Tenant]) -> None:
        self._do("resume", request, chosen)

    def _do(self, verb: str, request: HttpRequest, chosen: QuerySet[Tenant]) -> None:
        for tenant in chosen:
            try:
                note = async_to_sync(_do)(verb, tenant.id)
            except Problem as error:
                by_hand = f"{__name__.partition('.')[0]} tenants {verb} {tenant.id}"
                self.message_user(request, f"{tenant.id}: {error.message}. Or: python -m {by_hand}", messages.ERROR)
            else:
                self.log_change(request, tenant, verb)
                self.message_user(request, f"{tenant.id}: {note}")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "tenant", "name", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("tenant",)
    search_fields = ("=prefix", "=tenant__id")
    exclude = ("digest",)


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    list_display = ("at", "tenant", "end_user", "route", "model", "input_tokens", "output_tokens", "cost", "outcome")
    list_filter = ("outcome", "route")
    search_fields = ("=tenant", "=end_user", "=request_id")
    show_full_result_count = False


def _remembered(request: HttpRequest, tenant: str) -> Ledger | None:
    """The tenant's widest ledger; None where nothing is known of it."""
    services: Services | None = state_of(request).get("services")
    known = services.balances.known(tenant) if services else None
    return known.widest if known else None


async def _do(verb: str, tenant: str) -> str:
    async with tenant_service(settings.ENV) as service:
        done = await (service.suspend(tenant) if verb == "suspend" else service.resume(tenant))
        return str(done["note"])
