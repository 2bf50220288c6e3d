"""README and CONTRIBUTING match cookiecutter.json, the Makefile and the files they link to."""

import json
import re
from pathlib import Path

import pytest
from cookiecutter.cli import main as cookiecutter

from .conftest import CHOICES, PROJECT, QUESTIONS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMPTS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["__prompts__"]


def rows(question: str) -> list[str]:
    """Return the table rows of a question: one per answer."""
    if question not in CHOICES:
        return [f"| `{question}` | {PROMPTS[question]} | text |"]
    table = []
    for answer in CHOICES[question]:
        name, _, words = PROMPTS[question][answer].rpartition(": ")
        words = words if name.casefold() in {"", answer.casefold()} else PROMPTS[question][answer]
        table.append(f"| | | `{answer}`{'' if words.casefold() == answer.casefold() else f': {words}'} |")
    table[0] = f"| `{question}` | {PROMPTS[question]['__prompt__']}{table[0].removeprefix('| |')}"
    return table


def test_the_table_of_answers_is_that_of_cookiecutter_json() -> None:
    table = README.partition("| Question | What is asked | Answers |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [row for question in QUESTIONS for row in rows(question)]


def test_readmes_are_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len((ROOT / PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_it_links_to_is_there(document: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / document).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_recipe_has_a_plain_line_for_systems_without_make() -> None:
    makefile = Path(ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `make ([a-z-]+)` \|", README, re.MULTILINE))
    recipes = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert named == {*recipes} - {"help"}
    framework = makefile.partition("FRAMEWORK := ")[2].splitlines()[0]
    lines = re.findall(r"^\t@?\$\(UV\) (run .*)", makefile.replace("$(FRAMEWORK)", framework), re.MULTILINE)
    lines = [line.replace("run --quiet ", "run ") for line in lines]
    assert "run python demo.py fastapi" in lines
    assert [line for line in lines if f"`uv {line}`" not in README] == []


def test_contributing_says_what_holds_of_each_option_of_cookiecutter() -> None:
    options = {option for parameter in cookiecutter.params for option in parameter.opts if option.startswith("--")}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {option for option in options if f"`{option}" not in contributing} <= {"--version", "--help"}
