from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = __package__
