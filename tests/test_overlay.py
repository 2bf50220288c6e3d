"""The tests of machinery are laid out as the project's own tests are."""

from pathlib import Path

import pytest

from .combinations import Answers, pairwise
from .conftest import CHOICES, Bake
from .overlay import MACHINERY, lay_over, sources


@pytest.mark.parametrize("answers", pairwise(CHOICES), ids=lambda answers: "-".join(answers.values()))
def test_no_test_of_machinery_replaces_a_file_of_the_project(bake_once: Bake, answers: Answers) -> None:
    project = bake_once(**answers)
    assert {Path("tests") / name for _, name in sources(answers)} & {*project.files} == set()


def test_each_tree_belongs_to_an_answer() -> None:
    trees = [tree.relative_to(MACHINERY / "_choices").parts for tree in MACHINERY.glob("_choices/*/*")]
    assert trees
    for question, answers in trees:
        assert {*answers.split("-or-")} <= {*CHOICES[question]}


def test_the_package_has_the_projects_name(bake: Bake) -> None:
    project = bake(project_slug="another-name")
    paths = lay_over(project.path, {})
    assert "tests/recordings/test_recordings.py" in paths
    written = [path for path in project.path.glob("tests/**/*.py") if "cookiecutter" in path.read_text("utf-8")]
    assert written == []
    assert "from another_name.budget" in project.read("tests/unit/test_outbox.py")


@pytest.mark.parametrize("answers", pairwise(CHOICES), ids=lambda answers: "-".join(answers.values()))
def test_an_owner_has_few_lines_of_tests_to_maintain(bake_once: Bake, answers: Answers) -> None:
    project = bake_once(**answers)
    assert sum(len(project.read(path).splitlines()) for path in project.files if path.parts[0] == "tests") <= 4_500
