from django.apps import AppConfig


class CallsConfig(AppConfig):
    name = __package__
