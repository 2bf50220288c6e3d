from django.apps import AppConfig


class CliConfig(AppConfig):
    name = __package__
