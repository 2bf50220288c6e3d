from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = __package__
