from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = __package__
