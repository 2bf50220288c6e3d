"""What takes most of the time that a start takes: imported once for all processes of the tests."""

LIBRARIES = [
    "django.contrib.admin",
    "django.contrib.admin.options",
    "django.contrib.auth.hashers",
    "django.core.handlers.asgi",
    "django.core.management.commands.migrate",
    "django.db.backends.sqlite3.base",
    "django.template.defaulttags",
    "uvicorn",
    # ours that work before django.setup()
    "{{ cookiecutter.__package }}.budget.fail_open",
    "{{ cookiecutter.__package }}.budget.subject",
    "{{ cookiecutter.__package }}.chat.schemas",
    "{{ cookiecutter.__package }}.web.edge",
    "{{ cookiecutter.__package }}.llm.providers",
    "{{ cookiecutter.__package }}.web.openapi",
    "{{ cookiecutter.__package }}.cli.server",
    "{{ cookiecutter.__package }}.core.config",
    "{{ cookiecutter.__package }}.tenants.admin_api",
]
