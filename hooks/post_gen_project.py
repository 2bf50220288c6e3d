"""Lay the chosen alternatives, check what came out, say what comes next. `_choices/` goes in any case."""

import json
import re
import shutil
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
# What is copied names the package and its folder so: to render takes four times as long.
PACKAGE, FOLDER = "{{'{{'}} cookiecutter.__package }}", "{{'{{'}}cookiecutter.__package}}"
NAME = "{{ cookiecutter.__package }}"
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
                    move(source, Path(source.relative_to(tree).as_posix().replace(FOLDER, NAME)))
        shutil.rmtree(CHOICES / question, ignore_errors=True)
    for path in [*Path().glob("*.py"), *Path("tests").rglob("*.py")]:
        if PACKAGE.encode() in (source := path.read_bytes()):
            path.write_bytes(source.replace(PACKAGE.encode(), NAME.encode()))
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
    foreign = rf"^ *(?:from|import) +({FOREIGN[ANSWERS['framework']]})\b"
    if path.suffix == ".py" and (found := re.search(foreign, source, re.MULTILINE)):
        sys.exit(f"{FAULT} {path.as_posix()} imports {found[1]}, the framework is {ANSWERS['framework']}")
    if path.suffix == ".py" and len(path.parts) == 1:  # what lies deeper is copied: no answer can break it
        try:
            compile(source, path.as_posix(), "exec")
        except (SyntaxError, ValueError) as error:
            sys.exit(f"{FAULT} {path.as_posix()} is no Python: {error}")


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
