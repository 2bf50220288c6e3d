from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = __package__
