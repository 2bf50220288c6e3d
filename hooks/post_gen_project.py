"""Lay the chosen alternatives, check what came out, say what comes next. `_choices/` goes in any case."""

import json
import re
import shutil
import symtable
import sys
from pathlib import Path

CONTEXT = json.loads({{cookiecutter.items() | list | tojson | tojson}})  # pairs: tojson sorts the keys of a dict
# Answers are compared with folder names, never joined to a path. Private values (`_template`) are none.
ANSWERS = {question: answer for question, answer in CONTEXT if not question.startswith("_")}
OFFERED = json.loads({{_cookiecutter | default({}) | tojson | tojson}})  # what could be answered; not with cruft
CHOICES = Path("_choices")
FAULT = "ERROR: the template is at fault:"
NEW = Path("UNFINISHED.txt")  # left by the pre hook, unless the folder held something before
FOREIGN = {"django": "alembic|fastapi|sqlalchemy|starlette|typer", "fastapi": "django|ninja"}
PACKAGE = b"{{'{{'}} cookiecutter.__package }}"  # in the tests, which are copied: rendering takes four times as long
# Jinja of the project's own pages is fine, the template's is not. (Jinja reads this file too: no tag in it.)
TAG = re.compile(r"\{[%{][^{}\n]*\bcookiecutter\b|\{[%]-? *(end)?raw\b")


def lay_alternatives() -> None:
    """Move each `_choices/<question>/<answer>/` (`one-or-other/`) over the root; it may bring later questions'."""
    for question, answer in ANSWERS.items():
        for tree in sorted((CHOICES / question).glob("*")):
            answers = tree.name.split("-or-")
            if not {*answers} <= {*OFFERED.get(question, answers)}:
                sys.exit(f"{FAULT} {tree.as_posix()} is no answer to {question}")
            if answer in answers:
                for source in sorted(filter(Path.is_file, tree.rglob("*"))):
                    move(source, source.relative_to(tree))
        shutil.rmtree(CHOICES / question, ignore_errors=True)
    for test in Path("tests").rglob("*.py"):
        if PACKAGE in (source := test.read_bytes()):
            test.write_bytes(source.replace(PACKAGE, b"{{ cookiecutter.__package }}"))
    for left in CHOICES.glob("*"):
        sys.exit(f"{FAULT} {left.as_posix()} belongs to no question, or to one that was laid before")


def move(source: Path, target: Path) -> None:
    if NEW.exists() and target.exists():
        sys.exit(f"{FAULT} {target.as_posix()} comes from two trees")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def check(path: Path) -> None:
    """Fail unless this file or folder may stand in the project."""
    if path.is_dir() and not any(path.iterdir()):
        sys.exit(f"{FAULT} {path.as_posix()} is an empty folder")
    source = "" if path.is_dir() else path.read_text(encoding="utf-8", errors="replace")
    if tag := TAG.search(source):
        sys.exit(f"{FAULT} {path.as_posix()} still has the tag {tag[0]!a}")
    if path.suffix != ".py":
        return
    try:
        symtable.symtable(source, path.as_posix(), "exec")  # to compile takes twice as long, a tree of ast four times
    except (SyntaxError, ValueError) as error:
        sys.exit(f"{FAULT} {path.as_posix()} is no Python: {error}")
    if found := re.search(rf"^ *(?:from|import) +({FOREIGN[ANSWERS['framework']]})\b", source, re.MULTILINE):
        sys.exit(f"{FAULT} {path.as_posix()} imports {found[1]}, the framework is {ANSWERS['framework']}")


try:
    lay_alternatives()
    if NEW.exists():  # else there may be files that are not ours to judge
        shutil.rmtree(CHOICES, ignore_errors=True)
        for path in sorted(Path().rglob("*")):
            check(path)
    else:
        print("NOTE: baked over a folder that was there; it may hold files of earlier answers.")
    print(f"\nReady. Next:\n\n    cd {ANSWERS['project_slug']}\n    make dev\n")
except KeyboardInterrupt:  # cookiecutter itself cleans up after failures only
    if NEW.exists():
        shutil.rmtree(Path.cwd(), ignore_errors=True)
    sys.exit("ERROR: interrupted")
finally:
    shutil.rmtree(CHOICES, ignore_errors=True)
    NEW.unlink(missing_ok=True)
