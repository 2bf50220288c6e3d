"""Create `secrets/`: one file per secret of a deployment, with a random value. Existing values stay."""

import base64
import os
import secrets
import sys
from pathlib import Path

from dotenv import dotenv_values

FOLDER = Path("secrets")
APP = {{ cookiecutter.__secrets.split() | tojson }}
OTHERS = ("cycles_admin_api_key", "postgres_password", "operator_password")
PROVIDER_KEYS = {"openai_api_key", "anthropic_api_key"} & {*APP}


def main() -> int:
    os.chdir(Path(__file__).parent)
    # the folder is closed to others, but its files must be readable by the user of any container
    FOLDER.mkdir(exist_ok=True)
    FOLDER.chmod(0o700)
    environment = {**dotenv_values(".env"), **os.environ}
    elsewhere = {name: environment.get(name.upper()) or "" for name in PROVIDER_KEYS}
    elsewhere["cycles_api_key"] = ""  # created by Cycles
    for name in (*OTHERS, *APP):
        if name != "database_url":
            write(name, elsewhere.get(name, secrets.token_urlsafe(32)))
    write("database_url", f"postgresql://app:{read('postgres_password')}@postgres/app")
    write("cycles.env", cycles_environment())
    for name in PROVIDER_KEYS:
        if not read(name) and os.environ.get("LLM_PROVIDER") != "demo":
            sys.stderr.write(f"Put your key into {FOLDER / name} first, or set LLM_PROVIDER=demo\n")
            return 1
    return 0


def write(name: str, value: str) -> None:
    """Write one secret, unless it exists."""
    path = FOLDER / name
    if not path.exists():
        path.write_text(f"{value}\n", encoding="utf-8")
    path.chmod(0o644)


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8").strip()


def cycles_environment() -> str:
    """Return the environment shared by the Cycles servers and their Redis."""
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
