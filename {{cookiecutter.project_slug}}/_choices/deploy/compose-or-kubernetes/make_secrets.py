"""Writes `secrets/` where it is absent: a file for each secret of a deployment, made at random, never overwritten."""

import base64
import os
import secrets
import sys
from pathlib import Path
{%- if cookiecutter.llm_provider != "demo" %}

from dotenv import dotenv_values
{%- endif %}

FOLDER = Path("secrets")
MADE_UP = (
    "secret_key",
{%- if cookiecutter.tenancy == "tenant" %}
    "tenant_keys_secret",
{%- endif %}
    "metrics_token",
    "cycles_admin_api_key",
    "postgres_password",
    "operator_password",
{%- if cookiecutter.tenant_auth == "gateway_header" %}
    "gateway_secret",
{%- endif %}
)
{%- if cookiecutter.llm_provider != "demo" %}
PROVIDER_KEY = "{{ cookiecutter.llm_provider }}_api_key"
{%- endif %}


def main() -> int:
    os.chdir(Path(__file__).parent)
    # the folder is closed to others; its files must be readable to whatever user a container has
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    for name in MADE_UP:
        secret(name, secrets.token_urlsafe(32))
    secret("database_url", f"postgresql://app:{read('postgres_password')}@postgres/app")
    secret("cycles.env", cycles_environment())
{%- if cookiecutter.tenancy == "workspace" %}
    secret("cycles_api_key", "")  # Cycles makes it
{%- endif %}
{%- if cookiecutter.llm_provider != "demo" %}
    secret(PROVIDER_KEY, {**dotenv_values(".env"), **os.environ}.get(PROVIDER_KEY.upper()) or "")
    if not read(PROVIDER_KEY) and os.environ.get("LLM_PROVIDER") != "demo":
        sys.stderr.write(f"Put your key into {FOLDER / PROVIDER_KEY} first, or set LLM_PROVIDER=demo\n")
        return 1
{%- endif %}
    return 0


def secret(name: str, value: str) -> None:
    """Write one, if there is none yet."""
    path = FOLDER / name
    if not path.exists():
        path.write_text(f"{value}\n", encoding="utf-8")
        path.chmod(0o644)


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8").strip()


def cycles_environment() -> str:
    """What the servers of Cycles and their Redis share."""
    webhook_key = base64.b64encode(secrets.token_bytes(32)).decode()
    return "\n".join(
        [
            f"REDIS_PASSWORD={secrets.token_urlsafe(32)}",
            f"ADMIN_API_KEY={read('cycles_admin_api_key')}",
            f"WEBHOOK_SECRET_ENCRYPTION_KEY={webhook_key}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
