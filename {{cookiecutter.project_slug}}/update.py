# /// script
# requires-python = ">=3.11"
# dependencies = ["cookiecutter>=2.7"]
# ///
"""Merge a newer version of the template into this project, on a branch of its own."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORD = Path(".cruft.json")  # cruft's file and format: template, commit and answers
CONFLICTS = {
    "UU": "you and the template changed it",
    "AA": "you and the template added it",
    "DU": "you deleted it, the template changed it",
    "UD": "you changed it, the template deleted it",
    **dict.fromkeys(("AU", "UA", "DD"), "you and the template moved it"),
}


class Refusal(Exception):
    """Stop with this line for the person who started update.py."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", default="HEAD", help="a tag, branch or commit of the template (default: the newest)")
    to = parser.parse_args().to
    os.chdir(Path(__file__).parent)
    try:
        record = read_record()
        prefix = check_repository()
        with tempfile.TemporaryDirectory() as scratch:
            return update(record, to, prefix, Path(scratch))
    except Refusal as refusal:
        print(f"make update: {refusal}", file=sys.stderr)
        return 1


def read_record() -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    except FileNotFoundError:
        hint = "`uvx cruft link URL-OF-THE-TEMPLATE` writes it"
        raise Refusal(f"the template is unknown, because {RECORD} is missing; {hint}") from None
    return record


def check_repository() -> Path:
    """Return this folder's path in its repository. Raise Refusal unless all of it is committed."""
    try:
        prefix = Path(git("rev-parse", "--show-prefix"))
        committed = git("ls-files", str(RECORD))
    except (Refusal, FileNotFoundError):
        raise Refusal("this folder is in no git repository, or git is missing") from None
    if not committed or git("status", "--porcelain", "--untracked-files=no"):
        raise Refusal("there are uncommitted changes; commit or stash them first")
    return prefix


def update(record: dict[str, Any], to: str, prefix: Path, scratch: Path) -> int:
    """Merge the template at `to` in. Return the exit code: 1 with conflicts."""
    template, old = scratch / "template", record["commit"]
    git("clone", "--quiet", record["template"], str(template))
    new = find(template, to)
    if new == old:
        print(f"Nothing new: this project has version {old[:7]} of the template.")
        return 0
    base = commit(generate(template, old, record, prefix, scratch), f"Template {old[:7]}")
    theirs = commit(generate(template, new, record, prefix, scratch), f"Update the template to {new[:7]}", "-p", base)
    branch = f"template-{new[:7]}"
    git("switch", "--quiet", "--create", branch)
    merged = subprocess.run(["git", "cherry-pick", theirs], capture_output=True, text=True, check=False)
    conflicts = [line for line in git("status", "--porcelain").splitlines() if line[:2] in CONFLICTS]
    if merged.returncode and not conflicts:
        git("switch", "--quiet", "-")
        git("branch", "--quiet", "--delete", "--force", branch)
        raise Refusal(f"git can't merge: {' '.join(merged.stderr.split())}")
    print(f"Merged versions {old[:7]} to {new[:7]} of the template, on the branch {branch}.\n")
    print("\n".join(news(template, old, new)))
    if conflicts:
        print("Conflicts:\n")
        print("\n".join(f"  {line[3:]}: {CONFLICTS[line[:2]]}" for line in conflicts))
        print("\nResolve them, `git add` the files, then run `git cherry-pick --continue`. To give up, run")
        print(f"`git cherry-pick --abort`, `git switch -` and `git branch -D {branch}`.")
    print("Then run `make check` and `make migrate`, and merge the branch.")
    return 1 if conflicts else 0


def find(template: Path, to: str) -> str:
    """Return the commit of a tag, branch or commit. Raise Refusal if there is none."""
    for name in (to, f"origin/{to}"):
        with contextlib.suppress(Refusal):
            return git("rev-parse", "--verify", f"{name}^0", folder=template)
    raise Refusal(f"the template has no {to}")


def generate(template: Path, version: str, record: dict[str, Any], prefix: Path, scratch: Path) -> Path:
    """Generate this project from a version of the template. Return a folder that has it below `prefix`."""
    git("checkout", "--quiet", "--detach", version, folder=template)
    answers = record["context"]["cookiecutter"]
    config, output, root = scratch / "config.json", scratch / f"output-{version}", scratch / version
    config.write_text(json.dumps({"replay_dir": str(scratch / "replay")}), encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", str(config), "-o", str(output)]
    command += [str(template), *(f"{name}={value}" for name, value in answers.items() if not name.startswith("_"))]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        reason = done.stderr.partition("\n")[0]
        raise Refusal(f"version {version[:7]} of the template refuses this project: {reason}")
    (root / prefix).parent.mkdir(parents=True, exist_ok=True)
    (output / answers["project_slug"]).rename(root / prefix)
    record_of_version = json.dumps(record | {"commit": version}, indent=2) + "\n"
    text = RECORD.read_text("utf-8") if version == record["commit"] else record_of_version
    (root / prefix / RECORD).write_text(text, encoding="utf-8")
    return root


def commit(folder: Path, message: str, *options: str) -> str:
    """Commit a folder outside of any branch. Return the commit."""
    index = {"GIT_DIR": git("rev-parse", "--absolute-git-dir"), "GIT_INDEX_FILE": f"{folder}.index"}
    git("add", "--all", folder=folder, environment=index | {"GIT_WORK_TREE": str(folder)})
    tree = git("write-tree", environment=index)
    return git("commit-tree", tree, "-m", message, *options)


def news(template: Path, old: str, new: str) -> Iterator[str]:
    """Yield what the template's CHANGELOG.md has since `old`, each entry below its heading."""
    heading = ""
    for line in git("diff", "--unified=99999", old, new, "--", "CHANGELOG.md", folder=template).splitlines():
        if line[1:].startswith("#"):
            heading = f"{line[1:]}\n"
        elif line.startswith("+") and not line.startswith("+++"):
            yield f"{heading}{line[1:]}"
            heading = ""
    yield ""


def git(*arguments: str, folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Return what git prints. Raise Refusal if it fails."""
    variables = os.environ | (environment or {})
    done = subprocess.run(["git", *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(f"`git {' '.join(arguments[:2])}` failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip("\n")


if __name__ == "__main__":
    sys.exit(main())
