"""Django settings. The project's own settings, documented in `.env.example`, are `django.conf.settings.ENV`."""

import logging
import warnings
from pathlib import Path
from typing import Any

import dj_database_url

from .core.config import SESSION_LIFE_S, Settings
from .core.logging import set_up_logging
from .core.sqlite_file import make_private

ENV = Settings()

# an empty key is allowed: `migrate` and the like need no settings
SECRET_KEY, *SECRET_KEY_FALLBACKS = [secret.get_secret_value() for secret in ENV.secret_key] or [""]
DEBUG = ENV.development
ALLOWED_HOSTS = ENV.allowed_hosts

INSTALLED_APPS = [
    f"{__package__}.tenants",
    f"{__package__}.calls",
    f"{__package__}.web",
    f"{__package__}.dashboard",
    f"{__package__}.cli",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *(["ninja"] if ENV.development else []),  # the files of /docs
]

MIDDLEWARE = [
    f"{__package__}.web.middleware.problems",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = f"{__package__}.urls"
APPEND_SLASH = False

TEMPLATES = [  # for the admin; dashboard/pages.py renders the dashboard
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
    """Return `DATABASES["default"]` for a DATABASE_URL. Create an SQLite file."""
    config: dict[str, Any] = {**dj_database_url.parse(url, conn_health_checks=True)}
    options = config.setdefault("OPTIONS", {})
    if url.startswith("postgresql"):
        options["pool"] = {"min_size": 1, "max_size": 8, "timeout": 5}
        return config
    make_private(Path(config["NAME"]))
    options |= {
        "timeout": 5,
        "transaction_mode": "IMMEDIATE",  # SQLite waits for a lock only at a transaction's start
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-256",
    }
    return config


DATABASES = {"default": database(ENV.database_url)}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]

TIME_ZONE = "UTC"
USE_I18N = False

STATIC_URL = f"{ENV.root_path}/static/"
STATIC_ROOT = Path("var/static")
WHITENOISE_USE_FINDERS = True  # `collectstatic` is for other servers
warnings.filterwarnings("ignore", "No directory at", UserWarning)  # likewise
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous")  # static files are small

FORCE_SCRIPT_NAME = ENV.root_path or None
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # of each body that arrives; the rest waits in a file

SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = ENV.root_path or "/"
SESSION_ENGINE = f"{__package__}.web.sessions"
SESSION_COOKIE_AGE = SESSION_LIFE_S
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not ENV.development
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = f"{__package__}.dashboard.routes.csrf_failed"

DATA_UPLOAD_MAX_MEMORY_SIZE = None  # web/edge.py limits bodies

LOGGING_CONFIG = None
set_up_logging(development=ENV.development)
logging.getLogger("django.request").setLevel(logging.ERROR)  # answers below 500 are no news

SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # web/edge.py sends HSTS
    "security.W008",  # the proxy redirects to https
    "security.W009",  # asks for 50 characters; web.E001 asks for 32
    "security.W025",  # the same for older keys
]
