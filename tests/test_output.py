"""The raw output, before any fixer has seen it: clean, whole and small, whatever is answered."""

import ast
import contextlib
import functools
import json
import re
import runpy
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cookiecutter.hooks
import pytest
import yaml
from cookiecutter.exceptions import FailedHookException

from .combinations import every, pairwise
from .conftest import CHOICES, ROOT, Bake, BakedProject

MIT_AND_THE_LIKE = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "BSD 3-Clause License",
}


# all tests of a project in the worker that has baked it
NAMED = {"-".join(answers.values()): answers for answers in pairwise(CHOICES)}
PROJECTS = [pytest.param(answers, id=name, marks=pytest.mark.xdist_group(name)) for name, answers in NAMED.items()]


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest, bake_once: Bake) -> BakedProject:
    return bake_once(**request.param)


def test_files_are_utf_8_with_unix_newlines_and_no_blanks_at_the_end(project: BakedProject) -> None:
    clean = re.compile(r"(?!\n)(?:[^\r\n]*(?<![ \t])\n)*(?<!\n\n)")
    assert [path for path in project.files if not clean.fullmatch(project.read(path))] == []


PYTHON_IN_PAGES = re.compile(r"^```python\n.*?^```$", re.MULTILINE | re.DOTALL)


def test_no_choice_leaves_doubled_blank_lines(project: BakedProject) -> None:
    """In what Jinja has rendered; Python, also in pages, is left to its formatter."""
    rendered = [path for path in project.files if path.suffix not in {".py", ".mako", ".html", ".css"}]
    texts = {path: PYTHON_IN_PAGES.sub("(Python)", project.read(path)) for path in rendered if path.name != "LICENSE"}
    assert [path for path, text in texts.items() if "\n\n\n" in text] == []


def test_python_is_ascii(project: BakedProject) -> None:
    assert [path for path in project.files if path.suffix == ".py" and not project.read(path).isascii()] == []


def test_toml_yaml_and_json_are_valid(project: BakedProject) -> None:
    loads: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yml": lambda text: [*yaml.safe_load_all(text)],
        ".yaml": lambda text: [*yaml.safe_load_all(text)],
    }
    for path in project.files:
        if path.suffix in loads:
            assert loads[path.suffix](project.read(path)), path


def test_nothing_of_the_template_is_left(project: BakedProject) -> None:
    for path in project.files:
        assert "_choices" not in path.parts
        assert not re.search(r"\{[{%][^{}\n]*cookiecutter", project.read(path)), path
    assert not (project.path / "UNFINISHED.txt").exists()
    assert all(any(path.iterdir()) for path in project.path.rglob("*") if path.is_dir()), "an empty folder"


def test_paths_are_short_and_writable_on_windows(project: BakedProject) -> None:
    for path in project.files:
        assert len(path.as_posix()) < 120, path
        for part in path.parts:
            assert re.fullmatch(r"[A-Za-z0-9._-]+", part), path
            assert part.partition(".")[0].lower() not in {"aux", "con", "nul", "prn"}, path


def test_no_secret_and_no_state_is_generated(project: BakedProject) -> None:
    assert not {"uv.lock", ".env", "var", ".venv"} & {path.parts[0] for path in project.files}
    assert {"/.env", "/var/", "/.venv", "/.uv/"} <= set(project.read(".gitignore").splitlines())


def test_ruff_finds_nothing_and_has_nothing_to_format(project: BakedProject) -> None:
    project.run("ruff", "check", "--no-cache")
    project.run("ruff", "format", "--check", "--diff", "--no-cache")


# Found by its place by a framework, a tool or the server ("main:app").
FOUND_BY_PLACE = re.compile(
    r"(?:\.|tests/|docs/|deploy/).*|.*/(?:management/commands|migrations)/.*|.*/(?:apps|admin|main|models)\.py"
    r"|.*__(?:init|main)__\.py|.*/py\.typed|(?:\w+/)?[^/]*\.(?:md|toml|ya?ml)|LICENSE|Makefile|Dockerfile|renovate\.json|dev\.py|manage\.py"
)


def test_every_file_is_used(project: BakedProject) -> None:
    """Modules are imported, or a string has their dotted name; other files are named by a file."""
    texts = {path: project.read(path) for path in project.files}
    imported = set().union(*(imports(path, text) for path, text in texts.items() if path.suffix == ".py"))

    def is_used(path: Path) -> bool:
        module = path.with_suffix("").parts
        name = f".{'.'.join(module[1:])}" if path.suffix == ".py" else path.name
        return ".".join(module) in imported or any(name in text for other, text in texts.items() if other != path)

    assert [path for path in texts if not FOUND_BY_PLACE.fullmatch(path.as_posix()) and not is_used(path)] == []


def imports(path: Path, source: str) -> set[str]:
    """The dotted names that this file imports: modules, and what it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = path.parts[: len(path.parts) - node.level] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


# Read by Django, Alembic or SQLAlchemy, by their place and name.
READ_BY_A_FRAMEWORK = re.compile(r".*/(?:migrations/.*|apps|admin|urls|settings|migrate|models)\.py|tests/.*")
NAMED_BY_ONE_FRAMEWORK = {"STATIC"}  # Django finds the folder by its app


def test_every_function_class_and_constant_is_used(project: BakedProject) -> None:
    """Named twice: where it is made and where it is used. What is decorated, its decorator uses."""
    words = Counter(word for path in project.files for word in re.findall(r"\w+", project.read(path)))
    unused = []
    for path in project.files:
        if path.suffix == ".py" and not READ_BY_A_FRAMEWORK.fullmatch(path.as_posix()):
            made = [name for node in ast.parse(project.read(path)).body for name in names_made(node)]
            unused += [
                f"{path.as_posix()}: {name}" for name in made if words[name] < 2 and name not in NAMED_BY_ONE_FRAMEWORK
            ]
    assert unused == []


def names_made(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [] if node.decorator_list else [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name) and target.id != "__all__"]
    return []


def test_the_answers_reach_license_ci_and_types(project: BakedProject) -> None:
    answers = project.answers
    metadata = tomllib.loads(project.read("pyproject.toml"))
    assert metadata["tool"]["mypy"]["python_version"] == answers["python_version"]
    assert metadata["project"]["requires-python"] == ">=3.11"
    assert (
        project.read("LICENSE").lstrip().startswith(MIT_AND_THE_LIKE.get(answers["license"], "Copyright (c) Acme Inc."))
    )
    assert "uv.lock" not in project.read(".gitignore")
    pipelines = {"github": ".github/workflows/ci.yml", "gitlab": ".gitlab-ci.yml"}
    for ci, pipeline in pipelines.items():
        assert (project.path / pipeline).exists() == (answers["ci"] == ci)
        if answers["ci"] == ci:
            assert answers["python_version"] in project.read(pipeline)
            assert "make check" in project.read(pipeline)
            assert "uvx pip-audit@" in project.read(pipeline)
            check_pins(project.read(pipeline))


def check_pins(pipeline: str) -> None:
    """Actions by commit, uv by version, libraries by the lock file."""
    actions = re.findall(r"uses: +(.+)", pipeline)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in actions), actions
    installed = re.findall(r"pip install .*\buv\b.*", pipeline)
    assert installed
    assert all(re.search(r"uv==\d+\.\d+\.\d+$", line) for line in installed), installed
    assert "uv sync --locked" in pipeline
    assert all("--locked" in line for line in re.findall(r"uv export.*", pipeline))


def test_what_the_templates_own_ci_runs_is_pinned() -> None:
    check_pins((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))


# What only the emulator's and the application's own trees decide is looked at above, in fewer projects.
IN_EVERY_PROJECT = [
    test_files_are_utf_8_with_unix_newlines_and_no_blanks_at_the_end,
    test_no_choice_leaves_doubled_blank_lines,
    test_toml_yaml_and_json_are_valid,
    test_nothing_of_the_template_is_left,
    test_paths_are_short_and_writable_on_windows,
    test_no_secret_and_no_state_is_generated,
    test_the_answers_reach_license_ci_and_types,
]
IN_THE_CODE = ("framework", "tenancy", "tenant_auth", "llm_provider")
CODES = [*every({question: CHOICES[question] for question in IN_THE_CODE})]


parse_once = functools.cache(ast.parse)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """For thousands of bakes: hooks run here, and what they have parsed before they do not parse again."""

    def run_here(script: str, folder: Path | str = ".") -> None:
        with contextlib.chdir(folder):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as end:
                raise FailedHookException(end.code) from end

    monkeypatch.setattr(ast, "parse", parse_once)
    monkeypatch.setattr(cookiecutter.hooks, "run_script", run_here)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("code", CODES, ids=lambda code: "-".join(code.values()))
def test_every_combination_of_answers_makes_a_clean_project(
    bake_over: Callable[..., None], tmp_path: Path, code: dict[str, str]
) -> None:
    looked_at: set[str] = set()
    for others in every({question: CHOICES[question] for question in CHOICES if question not in code}):
        project = BakedProject(tmp_path / "acme-chat", code | others)  # always there: paths are compiled once, too
        try:
            bake_over(project.path, **project.answers)
            for holds in IN_EVERY_PROJECT:
                holds(project)
            sources = "".join(project.read(path) for path in project.files if path.suffix == ".py")
            if sources not in looked_at:  # the same code is the same to ruff
                test_ruff_finds_nothing_and_has_nothing_to_format(project)
        except (AssertionError, FailedHookException) as failure:
            failure.add_note(str(project))
            raise
        looked_at.add(sources)
        shutil.rmtree(project.path)


def test_the_same_answers_give_the_same_bytes(bake: Bake, bake_once: Bake) -> None:
    first, second = bake_once(), bake()
    assert {path: first.read(path) for path in first.files} == {path: second.read(path) for path in second.files}
