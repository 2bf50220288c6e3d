"""Move the chosen alternatives into place, check the result and print the next steps."""

import json
import re
import shutil
import sys
from pathlib import Path

CONTEXT = json.loads({{cookiecutter.items() | list | tojson | tojson}})  # pairs: tojson sorts the keys of a dict
ANSWERS = {question: answer for question, answer in CONTEXT if question.isidentifier()}  # not ../mine
OFFERED = json.loads({{_cookiecutter | default({}) | tojson | tojson}})  # what could be answered; not with cruft
CHOICES = Path("_choices")  # always ours: the pre hook refuses a folder that has one
FAULT = "ERROR: the template is at fault:"
NEW = Path("UNFINISHED.txt")  # the pre hook writes it into an empty folder; it stays unless all went well
FOREIGN = {"django": "alembic|fastapi|sqlalchemy|starlette|typer", "fastapi": "django|ninja"}
PACKAGE, FOLDER = "{{'{{'}} cookiecutter.__package }}", "{{'{{'}}cookiecutter.__package}}"
NAME = "{{ cookiecutter.__package }}"  # put into copied files here: rendering them takes four times as long
TAG = re.compile(r"\{[%{][^{}\n]*\bcookiecutter\b|\{[%]-? *(end)?raw\b")  # Jinja reads this file too: no tag in it


def lay_alternatives() -> None:
    """Move each `_choices/<question>/<answer>/` (`one-or-other/`) over the root; it may bring later questions'."""
    for path in filter(Path.is_file, [Path("dev.py"), *Path("tests").rglob("*.py"), *CHOICES.rglob("*.py")]):
        if PACKAGE.encode() in (source := path.read_bytes()):
            path.write_bytes(source.replace(PACKAGE.encode(), NAME.encode()))
    for question, answer in ANSWERS.items():
        for tree in sorted((CHOICES / question).glob("*")):
            if not {*(answers := tree.name.split("-or-"))} <= {*OFFERED.get(question, answers)}:
                sys.exit(f"{FAULT} {tree.as_posix()} is no answer to {question}")
            if answer in answers:
                for source in sorted(filter(Path.is_file, tree.rglob("*"))):
                    move(source, Path(source.relative_to(tree).as_posix().replace(FOLDER, NAME)))
        shutil.rmtree(CHOICES / question, ignore_errors=True)
    for left in CHOICES.glob("*"):
        sys.exit(f"{FAULT} {left.as_posix()} belongs to no question, or to one that was laid before")


def move(source: Path, target: Path) -> None:
    if NEW.exists() and target.exists():
        sys.exit(f"{FAULT} {target.as_posix()} comes from two trees")
    if not target.resolve().is_relative_to(Path.cwd().resolve()):
        sys.exit(f"ERROR: {target.as_posix()} leads out of the project by a link: remove the link, then run again")
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
        NEW.unlink()
    else:
        print("NOTE: baked over a folder that was there; it may hold files of earlier answers.")
    print(f"\nReady. Next:\n\n    cd {ANSWERS['project_slug']}\n    make dev\n")
except KeyboardInterrupt:
    sys.exit("ERROR: interrupted")
finally:
    shutil.rmtree(CHOICES, ignore_errors=True)
