"""docs/money.md names code and settings that exist, and its pictures and tables say the same."""

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.budget import outbox
from {{ cookiecutter.__package }}.core.config import Settings

MONEY = (Path(__file__).parents[2] / "docs/money.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+)\.py: ([\w.]+)`", MONEY)))
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
