"""The lists of request fields of /v1: every field that the vendors' SDKs know is on them, and the docs show them."""

import json
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import PROJECT, ROOT, UV, Bake

SDKS = ("openai>=3.57", "anthropic>=2.14")
LISTS = {"openai": "demo-or-openai", "anthropic": "anthropic"}
PRICED = ("model", "limit", "choices")


def test_every_field_of_the_vendors_sdks_is_on_the_list() -> None:
    packages = [argument for package in SDKS for argument in ("--with", package)]
    command = [UV, "run", "--quiet", "--no-project", "--isolated", *packages, "python", "tests/sdk/fields.py"]
    compared = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert compared.returncode == 0, compared.stdout + compared.stderr


def names(fields: dict[str, Any], *rules: str) -> str:
    """The fields with one of these rules, as Markdown; a field of which only some values are allowed with those."""
    found = []
    for name, rule in fields.items():
        if isinstance(rule, list):
            found += [f"`{name}` (only {', '.join(f'`{json.dumps(value)}`' for value in rule)})"] * ("values" in rules)
        elif rule.partition("#")[0] in rules:
            found.append(f"`{name}`")
    return ", ".join(found)


def rows_of(lists: dict[str, Any]) -> Iterator[str]:
    """The rows of the tables in docs/api.md: of the routes, then of what is inside of their fields."""
    passed = ("", "passed", "flag", "end_user", "cached", "image", "required", "values")
    for table, fields in lists.items():
        if table.startswith("/"):
            yield f"| `/v1{table}` | {names(fields, *passed)} | {names(fields, *PRICED)} | {names(fields, 'refused')} |"
    for table, fields in lists.items():
        for kind, variants in fields.items():
            if isinstance(variants, dict):
                for name, each in variants.items():
                    what = f"{table} of {kind} `{name}`" if name else f"{table} without {kind}"
                    yield f"| {what} | {names(each, *passed)} | {names(each, 'refused')} |"


@pytest.mark.parametrize("provider", LISTS)
def test_the_docs_show_which_fields_are_passed_priced_and_refused(bake_once: Bake, provider: str) -> None:
    path = ROOT / PROJECT / "_choices/llm_provider" / LISTS[provider] / "{{cookiecutter.__package}}/api/fields.toml"
    page = bake_once(llm_provider=provider).read("docs/api.md")
    rows = list(rows_of(tomllib.loads(path.read_text(encoding="utf-8"))))
    shown = [line for line in page.splitlines() if line in rows]
    assert shown == rows, "docs/api.md needs these rows:\n" + "\n".join(rows)
