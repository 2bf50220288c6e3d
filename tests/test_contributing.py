"""The worked example of CONTRIBUTING.md, done literally: its files written, its lines added, its commands run."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, copy_template, user_environment

STEP = re.compile(r"^<!-- (file|insert into|run)(?:: (.+?))? -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEPS = STEP.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
BESIDE_THE_TEMPLATE = [
    "pyproject.toml",
    "uv.lock",
    "Makefile",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    ".gitattributes",
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository as somebody has cloned it, to work on."""
    folder = copy_template(tmp_path / "cookiecutter-runcycles")
    for name in BESIDE_THE_TEMPLATE:
        shutil.copy(ROOT / name, folder)
    for name in ("docs", "tests", ".github"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def insert(file: Path, hunk: str) -> None:
    """Add the lines that begin with + where the others stand, once."""
    lines = [(line[:1], line[1:]) for line in hunk.splitlines()]
    before = "".join(f"{line}\n" for sign, line in lines if sign == " ")
    after = "".join(f"{line}\n" for _, line in lines)
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{file.name} has this {text.count(before)} times:\n{before}"
    file.write_text(text.replace(before, after), encoding="utf-8", newline="\n")


def test_what_is_described_has_steps_of_each_kind() -> None:
    assert [kind for kind, _, _ in STEPS] == ["file", "insert into", "insert into", "insert into", "run"]


def test_an_answer_that_is_added_as_described_is_baked_and_passes_the_tests(clone: Path) -> None:
    for kind, name, body in STEPS:
        if kind == "file":
            (clone / name).parent.mkdir(parents=True)
            (clone / name).write_text(body, encoding="utf-8", newline="\n")
        elif kind == "insert into":
            insert(clone / name, body)
        else:
            for line in body.splitlines():
                done = run_as_described(clone, line)
                assert done.returncode == 0, done.stdout + done.stderr
    assert "python:3.13" in (clone / "var/acme-chat/.forgejo/workflows/ci.yml").read_text(encoding="utf-8")
    assert not (clone / "var/acme-chat/.github").exists()


def test_an_answer_without_its_prompt_or_its_row_is_found(clone: Path) -> None:
    for kind, name, body in STEPS[:2]:
        if kind == "insert into":
            insert(clone / name, body)
    done = run_as_described(clone, "uv run pytest tests/test_choices.py tests/test_readme.py")
    assert done.returncode == 1
    assert "FAILED tests/test_choices.py::test_every_question_and_answer_has_a_prompt" in done.stdout
    assert "FAILED tests/test_readme.py::test_the_table_of_answers" in done.stdout


def run_as_described(clone: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the document, in the environment that these tests run in."""
    command = shlex.split(line)
    assert command[:2] == ["uv", "run"]
    environment = user_environment() | {"PYTEST_ADDOPTS": "-p no:cacheprovider"}
    return subprocess.run(command[2:], cwd=clone, env=environment, capture_output=True, encoding="utf-8", check=False)
