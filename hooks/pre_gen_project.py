"""Refuse unusable answers and folders: print one line to stderr, exit with 1, leave nothing behind."""

import json
import keyword
import os
import re
import shutil
import sys
from pathlib import Path

ANSWERS = json.loads({{cookiecutter | tojson | tojson}})
COMMON = f""".devcontainer .editorconfig .env.example .gitattributes .gitignore .pre-commit-config.yaml .vscode
    AGENTS.md Makefile README.md SECURITY.md dev.py dev_month.py docs emulator pyproject.toml tests update.py
    {ANSWERS["project_slug"].replace("-", "_")}""".split()  # the post hook checks the others
# Names of modules, dependencies and project files, and names reserved by Windows: a package can't have them.
TAKEN = {*re.findall(r"\w+", str(ANSWERS.get("_taken")))}
TAKEN |= {*keyword.kwlist, *keyword.softkwlist, *sys.stdlib_module_names}  # those of another Python too


def text(value: str) -> None:
    """Valid: `Acme "Chat" 50%`, Hebrew, emoji. Invalid: nothing, spaces around it, newlines, 301 letters."""
    if value != value.strip() or not re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,300}", value):
        raise ValueError("1 to 300 characters without line breaks, control characters or spaces around them")


def slug_shape(slug: str) -> None:
    """Valid: `acme-chat`, `a2`. Invalid: `Acme_Chat`, `acme.chat`, `acme--chat`, `2a`, `a/b`, 41 letters."""
    if len(slug) > 40 or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        raise ValueError(f"{usable(slug)} (starts with a-z, then a-z, 0-9 and single dashes, at most 40 characters)")


def free_name(slug: str) -> None:
    """Valid: `acme-chat`. Invalid: `class`, `match`, `json`, `fastapi`, `python-dotenv`, `tests`, `com1`."""
    if slug.replace("-", "_") in TAKEN:
        raise ValueError(f"{usable(slug)} (Python, Windows, the project or a dependency uses that name)")


def usable(slug: str) -> str:
    """Return the nearest valid slug."""
    near = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")[:37].rstrip("-") or "project"
    return near if near[0].isalpha() and near.replace("-", "_") not in TAKEN else f"my-{near}"


TEXTS = [(question, text) for question in ("project_name", "description", "author_name")]
for question, rule in [*TEXTS, ("project_slug", slug_shape), ("project_slug", free_name)]:
    try:
        rule(ANSWERS[question])
    except ValueError as hint:
        sys.exit(f"ERROR: {question} {ANSWERS[question][:60]!a} is not valid. Use {hint}")
if ANSWERS["__package"] != ANSWERS["project_slug"].replace("-", "_"):
    sys.exit("ERROR: __package follows from project_slug. Leave it out")
if taken := [name for name in ("_choices", "UNFINISHED.txt") if os.path.lexists(name)]:
    sys.exit(f"ERROR: {taken[0]} already exists. Rename it, or delete it if an interrupted run left it")
for path in (path for name in COMMON for path in (Path(name), *Path(name).rglob("*"))):
    if not path.resolve().is_relative_to(Path.cwd().resolve()):
        sys.exit(f"ERROR: {path.as_posix()} is a link out of the project: remove it, then try again")
if any(Path().iterdir()):  # keep what is there for --skip-if-file-exists: the post hook puts it back
    Path("_choices/existing").mkdir(parents=True)
    Path("_choices/HOOKS-DID-NOT-RUN.txt").write_text("skip", encoding="ascii")
    for path in (Path(name) for name in COMMON if Path(name).exists()):
        kept = Path("_choices/existing", path)
        shutil.copytree(path, kept, symlinks=True) if path.is_dir() else shutil.copy2(path, kept)
else:
    Path("UNFINISHED.txt").write_text("Generation was interrupted. Delete this folder and retry.\n", encoding="ascii")
