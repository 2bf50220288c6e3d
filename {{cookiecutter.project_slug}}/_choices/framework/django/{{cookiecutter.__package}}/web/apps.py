from django.apps import AppConfig


class WebConfig(AppConfig):
    name = __package__

    def ready(self) -> None:
        """Register the system check. Open nothing: this runs for every command."""
        from . import checks  # noqa: F401, PLC0415
