"""Refuse answers that would make no working project: one line on stderr, exit 1, nothing left on disk."""

import json
import keyword
import os
import re
import sys
from pathlib import Path

ANSWERS = json.loads({{cookiecutter | tojson | tojson}})
# Such a package would hide what the project imports, installs or calls its own, or Windows keeps the name.
TAKEN = {*keyword.kwlist, *keyword.softkwlist, *sys.stdlib_module_names} | set(
    """
    aiohappyeyeballs aiohttp aiosignal aiosqlite alembic annotated_doc annotated_types anthropic anyio argon2
    argon2_cffi argon2_cffi_bindings asgiref ast_serialize asyncpg attr attrs build cachetools certifi cffi
    charset_normalizer click corsheaders cryptography dev dev_identity dev_tenancy dist distro django
    django_cors_headers django_ninja django_stubs django_stubs_ext docs docstring_parser dotenv emulator fastapi
    frozenlist google googleapis_common_protos granian greenlet h11 hatchling httpcore httpcore2 httptools httpx httpx2
    hypothesis idna iniconfig itsdangerous jinja2 jiter jwt kubernetes librt make_secrets mako markdown_it
    markdown_it_py markupsafe mdurl multidict multipart mypy mypy_django_plugin mypy_extensions mypyc ninja openai
    opentelemetry packaging pathspec pip pluggy prometheus_client propcache protobuf psycopg psycopg_binary psycopg_pool
    pwdlib py pycparser pydantic pydantic_core pydantic_settings pygments pyjwt pytest pytest_timeout python_dotenv
    python_multipart pyyaml requests rich ruff runcycles setuptools shellingham sitecustomize sniffio sortedcontainers
    sqlalchemy sqlparse starlette structlog test tests tqdm truststore typer types_cachetools types_pyyaml
    typing_extensions typing_inspection urllib3 usercustomize uv uvicorn uvloop var watchfiles websockets wheel
    whitenoise wrapt yaml yarl aux con nul prn
    """.split()
)
TAKEN |= {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}


def text(value: str) -> None:
    """Valid: `Acme "Chat" 50%`, Hebrew, emoji. Invalid: nothing, blanks around it, newlines, 301 letters."""
    if not 1 <= len(value) <= 300 or value != value.strip():
        raise ValueError("1 to 300 characters without blanks around them")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", value):
        raise ValueError("the same without line breaks and control characters")


def slug_shape(slug: str) -> None:
    """Valid: `acme-chat`, `a2`. Invalid: `Acme_Chat`, `acme.chat`, `acme--chat`, `2a`, `a/b`, 41 letters."""
    if len(slug) > 40 or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        raise ValueError(f"{usable(slug)} (a-z first, then a-z, 0-9 and single dashes, at most 40)")


def free_name(slug: str) -> None:
    """Valid: `acme-chat`. Invalid: `class`, `match`, `json`, `fastapi`, `python-dotenv`, `tests`, `com1`."""
    if slug.replace("-", "_") in TAKEN:
        raise ValueError(f"{usable(slug)} (Python, Windows, the project or a dependency has that name)")


def usable(slug: str) -> str:
    """The nearest slug that every rule lets pass."""
    near = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")[:37].rstrip("-") or "project"
    return near if near[0].isalpha() and near.replace("-", "_") not in TAKEN else f"my-{near}"


TEXTS = [(question, text) for question in ("project_name", "description", "author_name")]
for question, rule in [*TEXTS, ("project_slug", slug_shape), ("project_slug", free_name)]:
    try:
        rule(ANSWERS[question])
    except ValueError as would_do:
        folder = Path(ANSWERS["project_slug"])
        if len(folder.parts) > 1 and not (folder.is_absolute() or ".." in folder.parts or any(Path().iterdir())):
            os.chdir(Path.cwd().parents[len(folder.parts) - 1])
            os.removedirs(folder)  # of `a/b` both: cookiecutter would remove `b` alone
        sys.exit(f"ERROR: {question} {ANSWERS[question][:60]!a} is refused; what would do: {would_do}")
if not any(Path().iterdir()):
    Path("UNFINISHED.txt").write_text("The bake was interrupted: remove this folder, begin again.\n", encoding="ascii")
