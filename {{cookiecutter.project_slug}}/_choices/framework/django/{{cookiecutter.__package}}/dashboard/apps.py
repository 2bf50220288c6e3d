"""The operators' pages, their static files and their commands."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = __package__
