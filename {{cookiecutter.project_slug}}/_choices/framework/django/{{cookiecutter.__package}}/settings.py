"""What Django wants to know, taken from the one `Settings`. It works with none of them set, for `migrate` and the like.

The project's own settings are `django.conf.settings.ENV`.
"""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from .core.config import SESSION_LIFE_S, Settings
from .core.logging import set_up_logging

ENV = Settings()

SECRET_KEY, *SECRET_KEY_FALLBACKS = [secret.get_secret_value() for secret in ENV.secret_key] or [""]
DEBUG = False  # errors are problem details in development too; their cause is in the log
ALLOWED_HOSTS = ENV.allowed_hosts
ROOT_URLCONF = f"{__package__}.urls"
APPEND_SLASH = False

INSTALLED_APPS = [
    f"{__package__}.tenants",
    f"{__package__}.calls",
    f"{__package__}.web",
    f"{__package__}.chat",
    f"{__package__}.dashboard",
    f"{__package__}.cli",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
]

MIDDLEWARE = [
    *(["corsheaders.middleware.CorsMiddleware"] if ENV.cors_allow_origins else []),
    f"{__package__}.web.middleware.api_first",  # what follows is for pages only
    "django.middleware.security.SecurityMiddleware",
    f"{__package__}.dashboard.storage.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [  # the admin's; the dashboard's are rendered by dashboard/pages.py
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database(url: str) -> dict[str, Any]:
    """Django's form of a DATABASE_URL; none for one that is neither SQLite nor PostgreSQL, see `Settings.faults`.

    The folder of an SQLite file is made.
    """
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        with suppress(OSError):  # whoever opens the file will tell
            path.parent.mkdir(parents=True, exist_ok=True)
        # IMMEDIATE: a transaction waits for its turn at its start, where waiting helps
        options: dict[str, Any] = {
            "timeout": 5,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-256",
        }
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}
    if url.startswith("postgresql://"):
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        parts = conninfo_to_dict(url)
        name = parts.pop("dbname", "")
        options = {**parts, "pool": {"min_size": 1, "max_size": 8, "timeout": 5}}
        return {"ENGINE": "django.db.backends.postgresql", "NAME": name, "OPTIONS": options, "CONN_HEALTH_CHECKS": True}
    return {}


DATABASES = {"default": database(ENV.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
USE_I18N = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

CORS_ALLOWED_ORIGINS = ENV.cors_allow_origins
CORS_ALLOW_METHODS = ("GET", "POST")
CORS_ALLOW_HEADERS = ("accept", "accept-language", "content-language", "authorization", "content-type", "x-tenant-id")
CORS_PREFLIGHT_MAX_AGE = 600
CORS_EXPOSE_HEADERS = ("X-Request-Id", "X-Budget-Remaining", "X-Budget-Cost", "Retry-After")
CSRF_FAILURE_VIEW = f"{__package__}.dashboard.routes.csrf_failed"

SESSION_ENGINE = f"{__package__}.web.sessions"
SESSION_COOKIE_AGE = SESSION_LIFE_S
CSRF_COOKIE_HTTPONLY = True  # its token is in the forms
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not ENV.development
SECURE_HSTS_SECONDS = 0 if ENV.development else 365 * 24 * 3600

STATIC_URL = "/static/"
STATIC_ROOT = Path("var/static")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": f"{__package__}.dashboard.storage.StaticStorage"},
}
WHITENOISE_USE_FINDERS = True  # before collectstatic has run, too
warnings.filterwarnings("ignore", "No directory at", UserWarning)  # likewise
WHITENOISE_AUTOREFRESH = ENV.development

LOGGING_CONFIG = None  # ours instead, for every process that uses Django
set_up_logging(development=ENV.development)

SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains: which there are is not ours to know
    "security.W008",  # redirects to https are the proxy's affair
    "security.W009",  # wants 50 characters; budget.E001 asks for 32 random ones
    "security.W021",  # HSTS preload: likewise
    "security.W025",  # as W009, for older secrets
]
