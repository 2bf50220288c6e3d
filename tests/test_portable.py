"""What holds on Windows and macOS too, read from the files: names, lengths, newlines, encodings, commands."""

import re
from pathlib import Path, PureWindowsPath

import pytest

from .combinations import pairwise
from .conftest import CHOICES, PROJECT, ROOT, Bake, BakedProject

# Where cookiecutter keeps a template, and where somebody keeps projects. Windows allows 259 characters.
CLONE = PureWindowsPath("C:/Users/firstname.lastname/.cookiecutters/cookiecutter-runcycles")
PROJECTS = PureWindowsPath("C:/Users/firstname.lastname/source/repos")
LONGEST_SLUG = "a" * 40
KEPT_BY_WINDOWS = re.compile(r"(aux|con|nul|prn|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def files() -> list[Path]:
    """The files of the repository, relative to it."""
    folders = [ROOT / name for name in (PROJECT, "hooks", "tests", "benchmarks", "docs", ".github", ".ci")]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    return [path.relative_to(ROOT) for path in found if not re.search(r"__pycache__|_cache\b", str(path))]


def test_no_name_is_refused_by_windows_or_means_another_file_on_macos() -> None:
    for path in files():
        for part in path.parts:
            assert not re.search(r'[<>:"|?*\\]|[ .]$', part), path
            assert not KEPT_BY_WINDOWS.fullmatch(part), path
            assert part.isascii(), path
    assert len({str(path).lower() for path in files()}) == len(files())


def test_a_clone_of_the_template_has_no_path_that_is_too_long() -> None:
    assert [path for path in files() if len(str(CLONE / path)) >= 240] == []


@pytest.mark.parametrize("answers", pairwise(CHOICES)[:4], ids=lambda answers: "-".join(answers.values()))
def test_a_project_with_the_longest_name_has_no_path_of_200_characters(bake: Bake, answers: dict[str, str]) -> None:
    project = bake(project_slug=LONGEST_SLUG, **answers)
    assert [path for path in project.files if len(str(PROJECTS / LONGEST_SLUG / path)) >= 200] == []


@pytest.mark.parametrize("folder", [ROOT, ROOT / PROJECT], ids=["template", "project"])
def test_a_checkout_on_windows_keeps_unix_newlines(folder: Path) -> None:
    assert (folder / ".gitattributes").read_text(encoding="utf-8").splitlines()[0] == "* text=auto eol=lf"
    assert "end_of_line = lf" in (folder / ".editorconfig").read_text(encoding="utf-8")


def test_text_is_read_and_written_in_a_stated_encoding(bake: Bake) -> None:
    """Windows has others than UTF-8. (The rule is a preview of ruff's, so the projects do not ship it.)"""
    for folder in [ROOT / "tests", *(bake(framework=framework).path for framework in CHOICES["framework"])]:
        BakedProject(folder, {}).run("ruff", "check", "--no-cache", "--preview", "--select", "PLW1514")


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_each_recipe_of_a_project_has_a_plain_line_in_its_readme(bake: Bake, framework: str) -> None:
    project = bake(framework=framework)
    readme = " ".join(project.read("README.md").split())
    makefile = project.read("Makefile")
    assert "/bin/python " not in makefile.partition("setup:")[2]  # uv knows where the environment is
    recipes = re.findall(r"^\t@\$\(UV\) run (.+?)(?: \$.*)?$", makefile, re.MULTILINE)
    assert [line for line in recipes if f"`uv run {line}`" not in readme and "make_secrets" not in line] == []
