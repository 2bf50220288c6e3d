"""Docs name code, settings and error codes that exist; pictures and tables of docs/money.md say the same."""

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.budget import outbox
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.problems import OUTCOMES

MONEY, TROUBLE = (
    (Path(__file__).parents[2] / f"docs/{page}.md").read_text(encoding="utf-8") for page in ("money", "troubleshooting")
)
PACKAGE = Path(outbox.__file__).parents[1]
NAMED = sorted(set(re.findall(r"`([\w/]+)\.py: ([\w.]+)`", MONEY)))
RAISED = re.compile(r'\b(?:P|budget_p)roblem\("(\w+)"')
MOVE_NOTHING = {"check", "backlog", "due_tenants", "close"}
"""Methods of Outbox that change no settlement."""


@pytest.mark.parametrize(("module", "name"), NAMED, ids=lambda part: part.replace("/", "."))
def test_the_code_that_the_page_names_exists(module: str, name: str) -> None:
    package = outbox.__name__.split(".")[0]
    reduce(getattr, name.split("."), importlib.import_module(f"{package}.{module.replace('/', '.')}"))


def test_the_settings_that_the_page_names_exist() -> None:
    named = re.findall(r"`((?:BUDGET|CYCLES|LLM)_[A-Z_]+)`", MONEY)
    assert named
    assert [name for name in named if name.lower() not in Settings.model_fields] == []


def test_the_page_names_every_method_that_moves_a_settlement() -> None:
    methods = {name for name in vars(outbox.Outbox) if not name.startswith("_")} - MOVE_NOTHING
    assert methods - {name.removeprefix("Outbox.") for _, name in NAMED} == set()


def test_the_tables_have_the_arrows_of_the_pictures() -> None:
    drawn = re.findall(r"^ +(\S+) --> (\S+) :", MONEY, re.MULTILINE)
    listed = re.findall(r"^\| ([a-z ]+) \u2192 ([a-z ]+) \|", MONEY, re.MULTILINE)
    named = [tuple(state.replace("[*]", "start").replace("_", " ") for state in arrow) for arrow in drawn]
    assert sorted(named) == sorted(listed) != []


def test_every_error_code_has_a_row_in_troubleshooting() -> None:
    rows = re.findall(r"^\| (\d+) `(\w+)` \|", TROUBLE, re.MULTILINE)
    assert sorted(rows) == sorted((str(status), code) for code, (status, *_) in OUTCOMES.items())


@pytest.mark.parametrize("layer", ["llm", "budget", "web", "chat", "api"])
def test_routes_raise_listed_error_codes(layer: str) -> None:
    codes = {code for path in (PACKAGE / layer).rglob("*.py") for code in RAISED.findall(path.read_text("utf-8"))}
    assert codes - OUTCOMES.keys() == set()
