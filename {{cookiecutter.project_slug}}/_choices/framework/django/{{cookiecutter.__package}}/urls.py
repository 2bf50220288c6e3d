"""All routes. No slash is ever added: `/api/chat/` is not found."""

from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from .dashboard import routes as dashboard
from .router import api
from .web.handlers import problem_view

urlpatterns = [
    path("", dashboard.home),
    path("", api.urls),
    path("dashboard", dashboard.home),
    path("dashboard/", dashboard.overview),
    path("dashboard/tenants/<str:tenant>", dashboard.tenant),
    path("dashboard/tenants/<str:tenant>/calls.csv", dashboard.calls_csv),
    path("dashboard/tenants/<str:tenant>/<str:verb>", dashboard.act),
    path("dashboard/calls", dashboard.call_list),
    path("dashboard/calls/<str:call>", dashboard.one_call),
    path("dashboard/calls.csv", dashboard.calls_csv),
    path("dashboard/audit", dashboard.audit),
    path("dashboard/link/<str:token>", dashboard.link),
    path("dashboard/login", dashboard.log_in, name="login"),
    path("dashboard/logout", dashboard.log_out),
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
    path("admin/", admin.site.urls),
    re_path("", dashboard.nowhere),
]

handler400 = problem_view("invalid_request")
handler403 = problem_view("forbidden")
handler404 = problem_view("not_found")
handler500 = problem_view("internal_error")
