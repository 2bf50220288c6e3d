"""Free text that somebody may well type: refused in one line, or shown as it was typed by all that shows it."""

import ast
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import BakedProject, bake_command, git

SNIPPETS = [
    *"\"'\\\n\r\t{}%$`#<>&|*_[]()!?:;,./~@^=+- ",
    '"""',
    "'''",
    "\\n",
    "\\u0041",
    "\\N{DIGIT ONE}",
    "%s",
    "%(name)s",
    "{0}",
    "${HOME}",
    "$(id)",
    "{ {",
    "}}",
    "%}",
    "#}",
    "<b>",
    "</script>",
    "<!--",
    "&amp;",
    "] = [",
    "[tool.x]",
    "- a: &b *c",
    "!!python/object:os.system",
    "---",
    "null",
    "~",
    "\U0001f916",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u202e\u0627\u0644\u0639\u202c",
    "e\u0301",
    "\u00e9",
    "\ufeff",
    "\u00a0",
    "\u2028",
    "\x00",
    "\x7f",
    "\x85",
    "\ud83e",
    "word ",
    "a" * 100,
    "CON",
    "../..",
    "-rf",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(SNIPPETS), max_size=30).map("".join),
    st.text(max_size=40),
    st.text(min_size=290, max_size=310),
)


def baked(template: Path, folder: Path, answers: dict[str, str]) -> BakedProject | None:
    """The project, or nothing if the answers were refused."""
    config = folder / "config.yaml"
    config.write_text(json.dumps({"replay_dir": str(folder / "replay"), "cookiecutters_dir": str(folder / "clones")}))
    try:
        path = cookiecutter(
            str(template), no_input=True, extra_context=answers, output_dir=str(folder / "out"), config_file=str(config)
        )
    except FailedHookException:
        return None
    return BakedProject(Path(path), answers)


def check_texts(project: BakedProject, answers: dict[str, str]) -> None:
    """All that reads the project can read it, and finds the texts as they were typed."""
    about = json.loads(project.read(project.package / "core" / "about.json"))
    shown = {"project_name": about["title"], "description": about["description"], "author_name": about["author"]}
    assert shown == answers
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == answers["description"]
    assert metadata["authors"] == [{"name": answers["author_name"]}]
    readme = project.read("README.md").splitlines()
    assert readme[0] == f"# {answers['project_name']}"
    assert answers["description"] in readme
    assert answers["author_name"] in project.read("LICENSE")
    for path in project.files:
        if path.suffix == ".py":
            ast.parse(project.read(path))
        elif path.suffix in {".yml", ".yaml"}:
            assert [*yaml.safe_load_all(project.read(path))]
        elif path.suffix == ".toml":
            tomllib.loads(project.read(path))


def check_bake(template: Path, capfd: pytest.CaptureFixture[str], answers: dict[str, str]) -> None:
    """These texts are refused in one line and nothing is left, or the project shows them."""
    capfd.readouterr()
    answers = {question: outside_of_jinja(text) for question, text in answers.items()}
    with tempfile.TemporaryDirectory() as folder:
        project = baked(template, Path(folder), answers | {"project_slug": "acme-chat", "license": "MIT"})
        if project is None:
            said = capfd.readouterr().err.splitlines()
            assert len(said) == 1, said
            assert said[0].startswith("ERROR: "), said
            assert not any(Path(folder, "out").iterdir())
        else:
            check_texts(project, answers)
            project.run(sys.executable, "-m", "ruff", "check", "--quiet", "--no-cache")
            project.run(sys.executable, "-m", "ruff", "format", "--quiet", "--check", "--no-cache")


def outside_of_jinja(text: str) -> str:
    """With --no-input cookiecutter renders the answers itself, before any hook: no opening tags there."""
    for tag in ("{{", "{%", "{#"):
        while tag in text:
            text = text.replace(tag, "{ ")
    return text


ANSWERS = given(answers=st.fixed_dictionaries({"project_name": TEXTS, "description": TEXTS, "author_name": TEXTS}))
SLOW = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(SLOW, max_examples=10)
@ANSWERS
def test_a_text_is_refused_in_one_line_or_shown_as_it_was_typed(
    template: Path, capfd: pytest.CaptureFixture[str], answers: dict[str, str]
) -> None:
    check_bake(template, capfd, answers)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(SLOW, max_examples=500)
@ANSWERS
def test_hundreds_of_texts_are_refused_in_one_line_or_shown_as_they_were_typed(
    template: Path, capfd: pytest.CaptureFixture[str], answers: dict[str, str]
) -> None:
    check_bake(template, capfd, answers)


def test_from_a_git_url_and_from_a_zip_archive_comes_the_same_project_as_from_a_folder(
    template: Path, repository: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "cookiecutter-runcycles.zip"
    git("archive", "--prefix=cookiecutter-runcycles/", f"--output={archive}", "HEAD", folder=repository)
    projects = []
    for number, source in enumerate([str(template), f"git+{repository.as_uri()}", str(archive)]):
        folder = tmp_path / str(number)
        command = [sys.executable, "-m", "cookiecutter", "--no-input", "--output-dir", str(folder), source]
        home = {"HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home")}
        done = subprocess.run(command, env=os.environ | home, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, f"{done.stderr}\n{bake_command({})}"
        projects.append(BakedProject(folder / "acme-chat", {}))
    contents = [{path: project.read(path) for path in project.files} for project in projects]
    assert contents[1].pop(Path(".cruft.json")), "the template's version"
    assert contents[0] == contents[1] == contents[2]
