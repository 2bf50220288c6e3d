"""Tenants and API keys in Django's admin: read-only, without secrets. Calls have pages in the dashboard."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from ..core import about
from ..tenants.models import ApiKey, Tenant
from .pages import usd

admin.site.site_title = about.TITLE
admin.site.site_header = f"{about.TITLE} (times in UTC)"


def dollars(column: str) -> Callable[[Any], str]:
    """Return an admin column in dollars for a column of microcents."""

    @admin.display(description=column, ordering=column)
    def shown(row: Any) -> str:
        return usd(getattr(row, column))

    return shown


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that every operator may see and nobody may edit."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self.admin_site.has_permission(request)

    has_module_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def lookup_allowed(self, lookup: str, *_: Any) -> bool:
        """Allow the listed filters only: `?digest__startswith=` would reveal secret columns bit by bit."""
        return lookup.partition("__")[0] in self.list_filter


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "status", dollars("budget"), "created_at")
    list_filter = ("status",)
    search_fields = ("id", "name")
    exclude = ("sealed_key", "alert_urls", "budget", "overdraft")
    readonly_fields = (dollars("budget"), dollars("overdraft"))  # type: ignore[assignment]


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("id", "tenant", "name", "created_at", "last_used_at", "revoked_at")
    search_fields = ("=id", "=tenant__id")
    exclude = ("digest",)
