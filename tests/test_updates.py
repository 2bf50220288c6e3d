"""Projects live on: cruft and `make update` bring in what is new, around their owners' edits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHOICES, PROJECT, Bake, BakedProject, git

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


def make_update(folder: Path) -> tuple[int, str]:
    """Run the recipe of `make update`. Return its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, folder / "update.py"],
        env=os.environ | IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout


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


def edited(history: Path, folder: Path, framework: str) -> BakedProject:
    """A project of an older template in which its owner has edited files."""
    project = create(history, folder, framework, "--checkout", "HEAD~10")
    for name, words in EDITS.items():
        with (project.path / name).open("a", encoding="utf-8", newline="\n") as file:
            file.write(words)
    commit(project.path)
    return project


def updated(history: Path, folder: Path, framework: str) -> BakedProject:
    """The same, updated by cruft to what is being worked on."""
    project = edited(history, folder, framework)
    cruft("update", "--skip-apply-ask", "--checkout", "main", folder=project.path)
    return project


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_a_project_that_cruft_has_made_does_not_differ_from_its_template(
    repository: Path, tmp_path: Path, framework: str
) -> None:
    project = create(repository, tmp_path, framework)
    assert "diff --git" not in cruft("diff", "--exit-code", folder=project.path)
    assert "up to date" in cruft("check", folder=project.path)


def assert_is_new_with_edits(project: BakedProject, bake: Bake) -> None:
    """Assert that a project is what the template makes today, with its owner's edits."""
    answers = json.loads(project.read(".cruft.json"))["context"]["cookiecutter"]
    fresh = bake(**{question: answers[question] for question in answers if not question.startswith("_")})
    wanted = {path: fresh.read(path) + EDITS.get(path.as_posix(), "") for path in fresh.files}
    found = {path: project.read(path) for path in project.files if ".git" not in path.parts}
    assert found.pop(Path(".cruft.json"))
    assert found.keys() == wanted.keys()
    assert [path for path in wanted if found[path] != wanted[path]] == []
    project.run("ruff", "check", "--no-cache")


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_a_project_of_an_older_template_takes_what_is_new_and_keeps_its_owners_edits(
    history: Path, tmp_path: Path, bake: Bake, framework: str
) -> None:
    assert_is_new_with_edits(updated(history, tmp_path, framework), bake)


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_make_update_commits_what_is_new_on_a_branch_and_keeps_its_owners_edits(
    history: Path, tmp_path: Path, bake: Bake, framework: str
) -> None:
    project = edited(history, tmp_path, framework)
    if not (project.path / "update.py").exists():  # older templates have none
        shutil.copy(history / PROJECT / "update.py", project.path)
        commit(project.path)
    code, said = make_update(project.path)
    assert code == 0, said
    new = git("rev-parse", "--short=7", "main", folder=history).strip()
    assert git("branch", "--show-current", folder=project.path) == f"template-{new}\n"
    assert git("status", "--porcelain", folder=project.path) == ""
    assert_is_new_with_edits(project, bake)
    assert make_update(project.path) == (0, f"Nothing new: this project has version {new} of the template.\n")


@pytest.fixture
def template_repository(repository: Path, tmp_path: Path) -> Path:
    """A repository of the template with a changelog, at a path that Cookiecutter takes for a repository's."""
    folder = Path(shutil.copytree(repository, tmp_path / "runcycles.git"))
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0\n\n- Old.\n")
    commit(folder)
    return folder


@pytest.fixture
def in_monorepo(template_repository: Path, tmp_path: Path) -> BakedProject:
    """A project made by `cookiecutter URL`, in a folder of its owner's repository."""
    home, folder = tmp_path / "home", tmp_path / "our repository"
    folder.mkdir()
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", str(folder / "apps")]
    environment = os.environ | {"HOME": str(home), "USERPROFILE": str(home)}
    subprocess.run([*command, template_repository.as_uri()], env=environment, check=True, capture_output=True)
    git("init", "--quiet", "--initial-branch=main", folder=folder)
    return BakedProject(folder / "apps/acme-chat", {})


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8", newline="\n")


def test_make_update_names_conflicts_and_prints_the_changelogs_new_entries(
    in_monorepo: BakedProject, template_repository: Path
) -> None:
    project, tree = in_monorepo.path, template_repository / PROJECT
    replace_in(project / "SECURITY.md", "# Security\n", "# Our security\n")
    (project / "AGENTS.md").unlink()
    commit(project)
    replace_in(tree / "SECURITY.md", "# Security\n", "# Safety\n")
    replace_in(tree / "AGENTS.md", "## Layers\n", "## Order\n")
    replace_in(tree / "docs/money.md", "# ", "# New: ")
    (template_repository / "CHANGELOG.md").write_text("# Changelog\n\n## 1.1\n\n- New.\n\n## 1.0\n\n- Old.\n")
    commit(template_repository)

    code, said = make_update(project)
    assert code == 1
    assert "\n## 1.1\n\n- New.\n" in said
    assert "Old." not in said
    assert "  apps/acme-chat/SECURITY.md: you and the template changed it\n" in said
    assert "  apps/acme-chat/AGENTS.md: you deleted it, the template changed it\n" in said
    assert "money.md" not in said
    assert (project / "docs/money.md").read_text(encoding="utf-8").startswith("# New: ")
    assert "<<<<<<< HEAD\n# Our security\n" in (project / "SECURITY.md").read_text(encoding="utf-8")
    uncommitted = "make update: there are uncommitted changes; commit or stash them first\n"
    assert make_update(project) == (1, uncommitted)


def test_make_update_says_what_it_needs(in_monorepo: BakedProject) -> None:
    project = in_monorepo.path
    uncommitted = "make update: there are uncommitted changes; commit or stash them first\n"
    assert make_update(project) == (1, uncommitted)
    (project.parent.parent / ".git").rename(project.parent / "elsewhere")
    assert make_update(project) == (1, "make update: this folder is in no git repository, or git is missing\n")
    (project / ".cruft.json").unlink()
    code, said = make_update(project)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("make update: the template is unknown, because .cruft.json is missing; ")
