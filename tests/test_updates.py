"""Projects live on: cruft knows where they come from and brings in what is new, around their owners' edits."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import CHOICES, Bake, BakedProject, git

EDITS = {
    "README.md": "\nOur own words.\n",
    "dev.py": "\n# our own line\n",
    "acme_chat/chat/schemas.py": "\n\n# ours too\n",
}
IDENTITY = {f"GIT_{who}_{what}": "tester@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def cruft(*arguments: str | Path, folder: Path) -> str:
    """What cruft says, with nobody's own configuration of git or cookiecutter."""
    home = {"HOME": str(folder.parent), "USERPROFILE": str(folder.parent), "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["cruft", *map(str, arguments)],
        cwd=folder,
        env=os.environ | home | IDENTITY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def create(repository: Path, folder: Path, framework: str, *more: str) -> BakedProject:
    """A project by `cruft create`, committed by its owner."""
    answers = {"framework": framework}
    context = ("--extra-context", json.dumps(answers))
    cruft("create", repository.as_uri(), "--no-input", "--default-config", *context, *more, folder=folder)
    project = folder / "acme-chat"
    git("init", "--quiet", "--initial-branch=main", folder=project)
    commit(project)
    return BakedProject(project, answers)


def commit(folder: Path) -> None:
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message=Ours", folder=folder)


def updated(history: Path, folder: Path, framework: str) -> BakedProject:
    """A project of an older template in which its owner has edited files, updated to what is being worked on."""
    project = create(history, folder, framework, "--checkout", "HEAD~10")
    for name, words in EDITS.items():
        with (project.path / name).open("a", encoding="utf-8", newline="\n") as file:
            file.write(words)
    commit(project.path)
    cruft("update", "--skip-apply-ask", "--checkout", "main", folder=project.path)
    return project


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_a_project_that_cruft_has_made_does_not_differ_from_its_template(
    repository: Path, tmp_path: Path, framework: str
) -> None:
    project = create(repository, tmp_path, framework)
    assert "diff --git" not in cruft("diff", "--exit-code", folder=project.path)
    assert "up to date" in cruft("check", folder=project.path)


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_a_project_of_an_older_template_takes_what_is_new_and_keeps_its_owners_edits(
    history: Path, tmp_path: Path, bake: Bake, framework: str
) -> None:
    project = updated(history, tmp_path, framework)
    answers = json.loads(project.read(".cruft.json"))["context"]["cookiecutter"]
    fresh = bake(**{question: answers[question] for question in answers if not question.startswith("_")})
    wanted = {path: fresh.read(path) + EDITS.get(path.as_posix(), "") for path in fresh.files}
    found = {path: project.read(path) for path in project.files if ".git" not in path.parts}
    assert found.pop(Path(".cruft.json"))
    assert found.keys() == wanted.keys()
    assert [path for path in wanted if found[path] != wanted[path]] == []
    project.run("ruff", "check", "--no-cache")
