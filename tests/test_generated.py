"""The generated projects hold their own promises: each runs its own checks, as its user would.

Projects share an environment for each framework and Python, so that only what differs between them is installed;
the tests of one framework run in one worker, beside the other's.
"""

import re
import sys
from pathlib import Path

import pytest

from .conftest import CHOICES, UV, Bake, BakedProject

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the project's Makefile is for POSIX"),
    pytest.mark.timeout(1800),  # a whole project's tests, on a machine that may be busy
]


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def set_up(bake: Bake, environments: Path) -> Bake:
    """As `bake`, with the project's environment as its `make setup` leaves it."""

    def bake_and_set_up(*, python_version: str, framework: str = "fastapi", **answers: str) -> BakedProject:
        project = bake(python_version=python_version, framework=framework, **answers)
        environment = environments / f"{framework}-{python_version}"
        (project.path / ".venv").symlink_to(environment, target_is_directory=True)
        return project.with_environment(environment)

    return bake_and_set_up


@pytest.mark.parametrize(
    "framework", [pytest.param(each, marks=pytest.mark.xdist_group(each)) for each in CHOICES["framework"]]
)
def test_a_project_of_each_framework_passes_its_own_check(set_up: Bake, framework: str) -> None:
    project = set_up(framework=framework, python_version="3.13")
    project.run("make", "check", f"UV={UV}")


@pytest.mark.xdist_group("django")
def test_a_project_on_django_s_long_term_release_passes_its_types_and_unit_tests(set_up: Bake) -> None:
    project = set_up(framework="django", llm_provider="demo", python_version="3.11")
    project.run("make", "setup", f"UV={UV}")
    project.run(".venv/bin/python", "-m", "mypy")
    project.run(".venv/bin/python", "-m", "pytest", "tests/unit")


@pytest.mark.xdist_group("fastapi")
@pytest.mark.parametrize(("provider", "python"), [("anthropic", "3.12"), ("demo", "3.11")])
def test_a_project_of_another_provider_passes_its_types_and_unit_tests(
    set_up: Bake, provider: str, python: str
) -> None:
    project = set_up(llm_provider=provider, python_version=python)
    project.run("make", "setup", f"UV={UV}")
    project.run(".venv/bin/python", "-m", "mypy")
    project.run(".venv/bin/python", "-m", "pytest", "tests/unit")


@pytest.mark.xdist_group("fastapi")
def test_no_installed_package_can_be_hidden_by_the_name_of_a_project(set_up: Bake, template: Path) -> None:
    """The refused names are a list in the hook; this holds it against what is really installed."""
    project = set_up(python_version="3.13")
    project.run("make", "setup", f"UV={UV}")
    names = set(project.run(".venv/bin/python", "-c", LIST_INSTALLED).split())
    refused = set((template / "hooks/pre_gen_project.py").read_text().split()) | sys.stdlib_module_names
    possible = {name for name in names if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    assert possible - refused - {project.package.name} == set()


LIST_INSTALLED = """
from importlib.metadata import distributions, packages_distributions
print(*packages_distributions(), *(d.metadata["Name"].lower().replace("-", "_") for d in distributions()))
"""
