"""Move the chosen alternatives into place, check the result, and print the next steps."""

import json
import re
import shutil
import sys
from pathlib import Path

CONTEXT = json.loads({{cookiecutter.items() | list | tojson | tojson}})  # as pairs, because tojson sorts dicts
ANSWERS = {question: answer for question, answer in CONTEXT if question.isidentifier()}  # not `../mine`
CHOICES = Path("_choices")  # ours: the pre hook refuses a folder that has one
FAULT = "ERROR: bug in the template:"
MODE = CHOICES / "HOOKS-DID-NOT-RUN.txt"  # the pre hook's "skip" if cookiecutter has --skip-if-file-exists
CRUFT = Path(".cruft.json")
NEW = Path("UNFINISHED.txt")  # written by the pre hook into an empty folder; stays there after a failure
FOREIGN = {"django": "alembic|fastapi|sqlalchemy", "fastapi": "django|ninja"}
PACKAGE, FOLDER = "{{'{{'}} cookiecutter.__package }}", "{{'{{'}}cookiecutter.__package}}"
NAME = "{{ cookiecutter.__package }}"  # replaced in copied files here: rendering takes four times as long
TAG = re.compile(r"\{[%{][^{}\n]*\bcookiecutter\b|\{[%]-? *(end)?raw\b")  # itself no tag: Jinja reads this file


def lay_alternatives() -> None:
    """Move each chosen `_choices/<question>/<answer>/` to the root. It may contain `_choices/` of later questions."""
    for path in filter(Path.is_file, [*Path().glob("dev*.py"), *Path("tests").rglob("*.py"), *CHOICES.rglob("*")]):
        if PACKAGE.encode() in (source := path.read_bytes()):
            path.write_bytes(source.replace(PACKAGE.encode(), NAME.encode()))
    if SKIP:  # cookiecutter has overwritten what it copies without rendering
        shutil.copytree(CHOICES / "existing", ".", symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(CHOICES / "existing", ignore_errors=True)
    for question, answer in ANSWERS.items():
        for tree in sorted((CHOICES / question).glob("*")):
            if answer in tree.name.split("-or-"):
                for source in sorted(filter(Path.is_file, tree.rglob("*"))):
                    move(source, Path(source.relative_to(tree).as_posix().replace(FOLDER, NAME)))
        shutil.rmtree(CHOICES / question, ignore_errors=True)
    for left in CHOICES.glob("*"):
        sys.exit(f"{FAULT} {left.as_posix()} belongs to no question, or to an earlier one")


def move(source: Path, target: Path) -> None:
    if NEW.exists() and target.exists():
        sys.exit(f"{FAULT} {target.as_posix()} is in two chosen folders")
    if not target.resolve().is_relative_to(Path.cwd().resolve()):
        sys.exit(f"ERROR: {target.as_posix()} is a link out of the project: remove it, then try again")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (SKIP and target.exists()):
        source.replace(target)


def record() -> None:
    """Write `.cruft.json` as cruft does: which version of the template it was, and the answers."""
    clone = Path(ANSWERS.get("_repo_dir", "none"), ".git")
    if CRUFT.is_symlink() or (SKIP and CRUFT.exists()) or not re.match(r"[\w+]{2,}[:@]", ANSWERS.get("_template", "")):
        return  # theirs, or made from a folder, which may be of no version
    try:
        head = (clone / "HEAD").read_text("utf-8").strip()
        commit = (clone / head[5:]).read_text("utf-8").strip() if head.startswith("ref: ") else head
        url = re.search(r"^\s*url = (?:(https?://)[^/@\n]*@)?(.+)", (clone / "config").read_text("utf-8"), re.MULTILINE)
    except OSError:
        return  # made from an archive
    answers = {question: answer for question, answer in ANSWERS.items() if not question.startswith("_")}
    found = {"template": "".join(filter(None, url.groups())), "commit": commit, "checkout": ANSWERS["_checkout"]}
    found |= {"context": {"cookiecutter": answers}, "directory": None}
    CRUFT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def check(path: Path) -> None:
    """Exit if this file or folder is wrong: empty, half rendered, of the other framework or invalid Python."""
    if path.is_dir() and not any(path.iterdir()):
        sys.exit(f"{FAULT} {path.as_posix()} is an empty folder")
    source = "" if path.is_dir() else path.read_text(encoding="utf-8", errors="replace")
    if tag := TAG.search(source):
        sys.exit(f"{FAULT} {path.as_posix()} has a leftover tag {tag[0]!a}")
    foreign = rf"^ *(?:from|import) +({FOREIGN[ANSWERS['framework']]})\b"
    if path.suffix == ".py" and (found := re.search(foreign, source, re.MULTILINE)):
        sys.exit(f"{FAULT} {path.as_posix()} imports {found[1]}, but the framework is {ANSWERS['framework']}")
    if path.suffix == ".py" and len(path.parts) == 1:  # deeper files are copied, so no answer can break them
        try:
            compile(source, path.as_posix(), "exec")
        except (SyntaxError, ValueError) as error:
            sys.exit(f"{FAULT} {path.as_posix()} is not valid Python: {error}")


try:
    SKIP = MODE.read_text(encoding="ascii") == "skip"
    MODE.unlink()
    lay_alternatives()
    record()
    if NEW.exists():  # otherwise there may be files that are not ours
        shutil.rmtree(CHOICES, ignore_errors=True)
        for path in sorted(Path().rglob("*")):
            check(path)
        NEW.unlink()
    else:
        print("NOTE: generated into an existing folder. Files of earlier answers may still be there.")
    print(f"\nReady. Next:\n\n    cd {ANSWERS['project_slug']}\n    make dev\n")
except KeyboardInterrupt:
    sys.exit("ERROR: interrupted")
finally:
    shutil.rmtree(CHOICES, ignore_errors=True)
