"""Static files: where their addresses come from, and how they are served."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Hashed names once `collectstatic` has run. Before that, and in development, the files as they are."""

    def stored_name(self, name: str) -> str:
        """The name in a file's address."""
        return name if settings.ENV.development or not self.hashed_files else super().stored_name(name)


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, which streams by a blocking iterator: ASGI wants none, and our files are small."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:  # type: ignore[override]
        streamed = WhiteNoiseMiddleware.serve(static_file, request)  # type: ignore[no-untyped-call]
        whole = HttpResponse(b"".join(streamed), status=streamed.status_code)
        whole.headers = streamed.headers
        streamed.close()
        return whole
