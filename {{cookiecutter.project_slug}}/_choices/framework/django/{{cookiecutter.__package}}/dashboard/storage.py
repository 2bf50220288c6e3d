"""Where static files get their addresses from."""

from django.conf import settings
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Hashed names once `collectstatic` has run. Before that, and in development, the files as they are."""

    def stored_name(self, name: str) -> str:
        """The name in a file's address."""
        return name if settings.ENV.development or not self.hashed_files else super().stored_name(name)
