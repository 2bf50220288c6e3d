"""Bakes: every test works on a copy of the template, so that no hook can ever touch the repository."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.environment import StrictEnvironment
from cookiecutter.main import cookiecutter
from jinja2 import Environment
from pytest_cookies.plugin import Cookies

ROOT = Path(__file__).parent.parent
PROJECT = "{{cookiecutter.project_slug}}"
UV = os.environ.get("UV") or shutil.which("uv") or "uv"  # `uv run` sets it
QUESTIONS: dict[str, Any] = {
    question: offered
    for question, offered in json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).items()
    if not question.startswith("_")
}
CHOICES: dict[str, list[str]] = {
    question: offered for question, offered in QUESTIONS.items() if isinstance(offered, list)
}


def user_environment() -> dict[str, str]:
    """The environment without what ties uv to the environment that these tests run in."""
    ties = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
    return {name: value for name, value in os.environ.items() if name not in ties}


@dataclass(frozen=True)
class BakedProject:
    """A project as cookiecutter leaves it, and the answers that made it."""

    path: Path
    answers: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def package(self) -> Path:
        """The folder of the project's one package."""
        return self.path / self.path.name.replace("-", "_")

    @property
    def files(self) -> list[Path]:
        """All files, relative to the project."""
        return sorted(path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())

    def read(self, name: str | Path) -> str:
        """The text of one file, its newlines as they lie on the disk."""
        return (self.path / name).read_bytes().decode()

    def run(self, *command: str) -> str:
        """Run a command in the project, return its output; a failure shows it, and how to repeat the bake."""
        done = subprocess.run(
            command,
            cwd=self.path,
            env=user_environment() | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{done.stdout}\n{shlex.join(command)} ended with {done.returncode} in\n{self}", pytrace=False)
        return done.stdout

    def copied_to(self, folder: Path) -> "BakedProject":
        """The same in another folder, to be worked in: who starts Python there leaves its bytecode."""
        return replace(self, path=Path(shutil.copytree(self.path, folder / self.path.name)))

    def with_environment(self, environment: Path) -> "BakedProject":
        """The same, whose uv commands work in `environment`, with the Python that was answered if there is one."""
        version = self.answers.get("python_version", CHOICES["python_version"][0])
        return replace(self, environment={"UV_PROJECT_ENVIRONMENT": str(environment), "UV_PYTHON": python_for(version)})

    def __str__(self) -> str:
        return f"{self.path}\nTo repeat it: {bake_command(self.answers)}"


@dataclass(frozen=True)
class Refusal:
    """What a bake that failed has said on stderr, and left on disk."""

    message: str
    left: list[Path]


Bake = Callable[..., BakedProject]
Refuse = Callable[..., Refusal]


def python_for(version: str) -> str:
    """The Python that an answer asks for where this machine has it, else any that the project runs on."""
    found = subprocess.run([UV, "python", "find", version], capture_output=True, check=False)
    return version if found.returncode == 0 else ">=3.11"


def bake_command(answers: dict[str, str]) -> str:
    """The command line that bakes with these answers, to be copied into a shell in the repository."""
    return shlex.join(
        [
            "cookiecutter",
            "--no-input",
            "-f",
            "-o",
            "var",
            ".",
            *(f"{name}={value}" for name, value in answers.items()),
        ]
    )


def copy_template(target: Path) -> Path:
    """Copy what cookiecutter reads, less what git would not keep. Returns `target`."""
    shutil.copytree(ROOT / "hooks", target / "hooks")
    shutil.copytree(ROOT / PROJECT, target / PROJECT, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    shutil.copy(ROOT / "cookiecutter.json", target)
    for folder in sorted((target / PROJECT).rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return target


def bake_with(cookies: Cookies, template: Path, answers: dict[str, str]) -> BakedProject:
    """Bake with the defaults but for these answers; a failure shows how to repeat it."""
    result = cookies.bake(extra_context=answers, template=str(template))
    if result.exception:
        pytest.fail(f"{result.exception}\nTo repeat it: {bake_command(answers)}", pytrace=False)
    return BakedProject(result.project_path, answers)


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    """Half of what a bake costs: it compiles each file again, and hundreds of bakes have the same ones."""
    compile_template: Callable[..., object] = Environment.compile
    compiled: dict[object, object] = {}

    def compile_once(environment: StrictEnvironment, *source: object) -> object:
        if source not in compiled:
            compiled[source] = compile_template(environment, *source)
        return compiled[source]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StrictEnvironment, "compile", compile_once, raising=False)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template that nobody changes."""
    return copy_template(tmp_path_factory.mktemp("template") / "cookiecutter-runcycles")


def git(*arguments: str | Path, folder: Path) -> str:
    """What git says, with nobody's own configuration."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.com", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout


@pytest.fixture(scope="session")
def repository(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a git repository of one commit."""
    folder = Path(shutil.copytree(template, tmp_path_factory.mktemp("repository") / "cookiecutter-runcycles"))
    git("init", "--quiet", "--initial-branch=main", folder=folder)
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message=As it is", folder=folder)
    return folder


@pytest.fixture
def history(template: Path, tmp_path: Path) -> Path:
    """The template's own history, with what is being worked on as its last commit."""
    folder = tmp_path / "history"
    cloned = subprocess.run(["git", "clone", "--quiet", ROOT, folder], capture_output=True, check=False)
    if cloned.returncode or int(git("rev-list", "--count", "HEAD", folder=folder)) <= 10:
        pytest.skip("no history here")
    git("checkout", "--quiet", "-B", "main", folder=folder)
    for path in template.iterdir():
        if path.is_dir():
            shutil.rmtree(folder / path.name)
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copy(path, folder)
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--allow-empty", "--message=What is being worked on", folder=folder)
    return folder


@pytest.fixture
def changed_template(template: Path, tmp_path: Path) -> Path:
    """A copy of the template of the test's own, to plant faults in."""
    return Path(shutil.copytree(template, tmp_path / "changed"))


@pytest.fixture
def bake(cookies: Cookies, template: Path) -> Bake:
    """`bake(question=answer, ...)`; `template=` bakes from another one."""

    def bake_project(*, template: Path = template, **answers: str) -> BakedProject:
        return bake_with(cookies, template, answers)

    return bake_project


@pytest.fixture(scope="session")
def bake_once(cookies_session: Cookies, template: Path) -> Bake:
    """As `bake`, for tests that only read, or take a copy: the same answers give the same project."""
    baked: dict[tuple[tuple[str, str], ...], BakedProject] = {}

    def bake_project(**answers: str) -> BakedProject:
        key = tuple(sorted(answers.items()))
        if key not in baked:
            baked[key] = bake_with(cookies_session, template, answers)
        return baked[key]

    return bake_project


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def set_up(bake: Bake, environments: Path) -> Bake:
    """As `bake`, with the environment that the project's `make setup` leaves, on `python`."""

    def bake_and_set_up(*, python: str = "", **answers: str) -> BakedProject:
        return in_environment(bake(**answers), environments, python)

    return bake_and_set_up


def in_environment(project: BakedProject, environments: Path, python: str = "") -> BakedProject:
    """The project, after `make setup` in an environment that others of its framework and Python use too."""
    python = python or project.answers.get("python_version", CHOICES["python_version"][0])
    environment = environments / f"{project.answers['framework']}-{python}"
    (project.path / ".venv").symlink_to(environment, target_is_directory=True)
    settings = {
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_PYTHON": python_for(python),
        "MYPY_CACHE_DIR": str(environments / "types"),
        "PYTHONDONTWRITEBYTECODE": "",  # else every start compiles all that it imports
    }
    project = replace(project, environment=settings)
    locked = environment.with_name(f"{environment.name}.lock")  # else each project would ask the registry again
    if locked.exists():
        shutil.copy(locked, project.path / "uv.lock")
    project.run("make", "setup", f"UV={UV}")
    shutil.copy(project.path / "uv.lock", locked)
    return project


@pytest.fixture
def refuse(cookies: Cookies, template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """`refuse(question=answer, ...)` asserts that the bake fails, and returns what it said and left."""

    def refused_bake(*, template: Path = template, **answers: str) -> Refusal:
        capfd.readouterr()
        result = cookies.bake(extra_context=answers, template=str(template))
        assert result.exception is not None, f"baked with {answers}"
        left = [path for path in (tmp_path / "cookies").rglob("*") if not path.name.startswith("bake")]
        return Refusal(capfd.readouterr().err, left)

    return refused_bake


@pytest.fixture
def bake_over(template: Path, _cookiecutter_config_file: Path) -> Callable[..., None]:
    """`bake_over(folder, question=answer, ...)` bakes into the parent of an existing folder, as `-f` does."""

    def bake_project(
        folder: Path, *, template: Path = template, skip_if_file_exists: bool = False, **answers: str
    ) -> None:
        cookiecutter(
            str(template),
            no_input=True,
            extra_context={"project_slug": folder.name} | answers,
            overwrite_if_exists=True,
            skip_if_file_exists=skip_if_file_exists,
            output_dir=str(folder.parent),
            config_file=str(_cookiecutter_config_file),
        )

    return bake_project


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests have measured (`record_property("figure", ...)`), whether they passed or not."""
    reports = [each for found in ("passed", "failed") for each in terminalreporter.stats.get(found, [])]
    figures = [
        f"{report.nodeid.rpartition('/')[2]}\n    {value}"
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))
