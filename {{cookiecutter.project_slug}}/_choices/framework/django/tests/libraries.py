"""What takes most of the time that a start takes: imported once for all processes of the tests."""

LIBRARIES = [
    "django.contrib.admin",
    "django.core.handlers.asgi",
    "django.core.management.commands.migrate",
    "django.db.backends.sqlite3.base",
    "django.template.defaulttags",
    "uvicorn",
    # ours that need no Django that is set up
    "{{ cookiecutter.__package }}.edge",
    "{{ cookiecutter.__package }}.settings",
    "{{ cookiecutter.__package }}.tenants.admin_api",
]
