"""`_choices/` against cookiecutter.json: folders and answers, both ways; nothing collides, whatever is answered."""

import fnmatch
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import CHOICES, PROJECT, QUESTIONS, ROOT

TREE = ROOT / PROJECT
CONTEXT: dict[str, Any] = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
CONTRACT_ORDER = [
    "project_name",
    "project_slug",
    "description",
    "author_name",
    "framework",
    "tenancy",
    "tenant_auth",
    "llm_provider",
    "deploy",
    "ci",
    "license",
    "python_version",
]
COPIED = re.compile("|".join(map(fnmatch.translate, CONTEXT["_copy_without_render"])))
FRAMEWORK_WORDS = re.compile(r"\b(fastapi|starlette|sqlalchemy|alembic|django|ninja)\b", re.IGNORECASE)


def files(tree: Path) -> list[Path]:
    """The files that a tree brings by itself, relative to it."""
    found = (path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    return [path for path in found if "_choices" not in path.parts and "__pycache__" not in path.parts]


def trees(answers: dict[str, str]) -> list[Path]:
    """The base and all alternatives that these answers lay, those inside of others included."""
    laid = [TREE]
    for question, answer in answers.items():
        found = [tree for base in laid for tree in (base / "_choices" / question).glob("*")]
        laid += [tree for tree in found if answer in answers_of(tree)]
    return laid


def answers_of(tree: Path) -> list[str]:
    """The answers that lay a tree: its name, or several joined by `-or-`."""
    return tree.name.split("-or-")


def alternatives() -> list[Path]:
    return [tree for folder in TREE.rglob("_choices") for tree in folder.glob("*/*")]


def test_the_questions_stand_in_the_order_of_the_contract() -> None:
    assert list(QUESTIONS) == CONTRACT_ORDER


def test_every_question_and_answer_has_a_prompt_and_no_prompt_is_left_over() -> None:
    prompts = CONTEXT["__prompts__"]
    assert list(prompts) == list(QUESTIONS)
    for question, answers in CHOICES.items():
        assert list(prompts[question]) == ["__prompt__", *answers]


@pytest.mark.parametrize("tree", alternatives(), ids=lambda tree: str(tree.relative_to(TREE)))
def test_every_alternative_is_an_answer_and_brings_files(tree: Path) -> None:
    assert set(answers_of(tree)) <= set(CHOICES[tree.parent.name])
    assert any(path.is_file() for path in tree.rglob("*"))


def test_an_alternative_brings_alternatives_of_later_questions_only() -> None:
    order = list(QUESTIONS)
    for tree in alternatives():
        questions = [outer.parent.name for outer in (tree, *tree.parents) if outer.parent.parent.name == "_choices"]
        positions = [order.index(question) for question in questions]
        assert positions == sorted(set(positions), reverse=True), tree


@pytest.mark.parametrize("question", [question for question in CHOICES if (TREE / "_choices" / question).is_dir()])
def test_a_question_whose_answers_are_needed_everywhere_has_a_folder_for_each(question: str) -> None:
    """An answer may be without a folder only if it is `none`."""
    laid = {answer for tree in alternatives() if tree.parent.name == question for answer in answers_of(tree)}
    assert set(CHOICES[question]) - laid <= {"none"}


def test_no_two_trees_bring_the_same_file_whatever_is_answered() -> None:
    brought = {tree: set(files(tree)) for tree in (TREE, *alternatives())}
    for combination in itertools.product(*CHOICES.values()):
        answers = dict(zip(CHOICES, combination, strict=True))
        for one, other in itertools.combinations(trees(answers), 2):
            assert not brought[one] & brought[other], (one, other)


def test_every_copied_pattern_matches_a_file() -> None:
    paths = [path.relative_to(TREE).as_posix() for path in TREE.rglob("*")]
    patterns = CONTEXT["_copy_without_render"]
    assert [pattern for pattern in patterns if not fnmatch.filter(paths, pattern)] == []


def test_what_is_shared_names_no_framework() -> None:
    shared = [path for path in files(TREE) if path.suffix == ".py" and path.parts[0] != "dev.py"]
    named = {str(path): FRAMEWORK_WORDS.findall((TREE / path).read_text(encoding="utf-8")) for path in shared}
    assert {path: words for path, words in named.items() if words} == {}


def is_copied(path: Path, copied: re.Pattern[str]) -> bool:
    return any(copied.match(str(each)) for each in (path, *path.parents))  # of a copied folder all is


def test_all_that_is_copied_is_python_whoever_chooses_it() -> None:
    for path in TREE.rglob("*.py"):
        if is_copied(path.relative_to(TREE), COPIED):
            source = path.read_text(encoding="utf-8").replace("{{ cookiecutter.__package }}", "acme_chat")
            compile(source, str(path), "exec", dont_inherit=True)


def test_conditionals_are_few_and_none_is_in_the_python_of_a_framework() -> None:
    rendered = [path for path in TREE.rglob("*") if path.is_file() and not is_copied(path.relative_to(TREE), COPIED)]
    counts = {path: len(re.findall(r"\{%-? *(?:el)?if\b", path.read_text(encoding="utf-8"))) for path in rendered}
    assert sum(counts.values()) <= 100
    assert [path for path in counts if counts[path] and path.suffix == ".py" and "framework" in path.parts] == []
