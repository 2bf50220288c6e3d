"""Tenants, API keys and calls in Django's admin: read-only, without secrets."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from ..calls.models import Call
from ..core import about
from ..core.problems import Problem
from ..tenants.models import ApiKey, Tenant
from ..web.dependencies import state_of
from .actions import act
from .pages import usd

admin.site.site_title = about.TITLE
admin.site.site_header = f"{about.TITLE} (times in UTC)"
admin.site.index_title = "Administration"
admin.site.site_url = "/dashboard/"

BALANCE = ("balance__remaining", "balance__spent")


def dollars(path: str) -> Callable[[Any], str]:
    """Return an admin column in dollars for a column of microcents; `path` may cross relations, as in `a__b`."""
    value = attrgetter(path.replace("__", "."))

    @admin.display(description=path.rpartition("__")[2], ordering=path)
    def shown(row: Any) -> str:
        try:
            return usd(value(row))
        except ObjectDoesNotExist:
            return ""

    return shown


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that every operator may see and nobody may edit, linked to their tenant's page on the dashboard."""

    tenant_field = "tenant"

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

    def lookup_allowed(self, lookup: str, *_: Any) -> bool:
        """Allow the listed filters only: `?digest__startswith=` would reveal secret columns bit by bit."""
        return lookup.partition("__")[0] in self.list_filter

    def view_on_site(self, row: Any) -> str:
        return f"/dashboard/tenants/{getattr(row, self.tenant_field)}"

    @admin.display(description="dashboard")
    def link(self, row: Any) -> str:
        return format_html('<a href="{}">{}</a>', self.view_on_site(row), getattr(row, self.tenant_field))


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    tenant_field = "id"
    list_display = ("id", "link", "name", "status", *map(dollars, BALANCE), "created_at")
    list_select_related = ("balance",)
    list_filter = ("status",)
    search_fields = ("id", "name")
    exclude = ("sealed_key", "budget", "overdraft")
    readonly_fields = (dollars("budget"), dollars("overdraft"))  # type: ignore[assignment]
    actions = ("suspend", "resume")

    @admin.action(description="Suspend: refuse callers, let calls in flight settle")
    def suspend(self, request: HttpRequest, tenants: QuerySet[Tenant]) -> None:
        self._act(request, tenants, "suspend")

    @admin.action(description="Resume: serve callers again")
    def resume(self, request: HttpRequest, tenants: QuerySet[Tenant]) -> None:
        self._act(request, tenants, "resume")

    def _act(self, request: HttpRequest, tenants: QuerySet[Tenant], verb: str) -> None:
        """Do what the dashboard does, audit included."""
        dashboard, operator = state_of(request)["dashboard"], request.user.get_username()
        for tenant in tenants:
            try:
                async_to_sync(act)(dashboard, operator, tenant.id, verb, "", "")
                self.log_change(request, tenant, verb)
                self.message_user(request, f"{verb.title()} {tenant.id}: done")
            except Problem as error:
                self.message_user(request, f"{tenant.id}: {error.message}", messages.ERROR)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "link", "name", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("tenant",)
    search_fields = ("=prefix", "=tenant__id")
    exclude = ("digest",)


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    list_display = ("at", "link", "end_user", "route", "model", dollars("cost"), "outcome")
    list_filter = ("outcome", "route")
    search_fields = ("=tenant", "=end_user", "=request_id")
    show_full_result_count = False
    exclude = ("hold", "cost", "uncharged")
    readonly_fields = (dollars("hold"), dollars("cost"), dollars("uncharged"))  # type: ignore[assignment]
