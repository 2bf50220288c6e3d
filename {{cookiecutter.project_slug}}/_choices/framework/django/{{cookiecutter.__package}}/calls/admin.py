"""The calls, in the admin."""

from django.contrib import admin

from ..dashboard.admin import ReadOnlyAdmin
from .models import CallRow


@admin.register(CallRow)
class CallAdmin(ReadOnlyAdmin):
    list_display = ("at", "tenant", "end_user", "route", "model", "input_tokens", "output_tokens", "cost", "outcome")
    list_filter = ("outcome", "route")
    search_fields = ("=tenant", "=end_user", "=request_id")
    show_full_result_count = False
