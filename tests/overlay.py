"""Put the tests of machinery into a generated project: `uv run python -m tests.overlay FOLDER framework=django ...`."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .combinations import Answers
from .conftest import CHOICES, ROOT

MACHINERY = ROOT / "tests" / "machinery"
PACKAGE = "{{ cookiecutter.__package }}"


def sources(answers: Answers) -> Iterator[tuple[Path, Path]]:
    """Yield each file for a project with these answers, and its path under the project's `tests/`."""
    trees = [MACHINERY]
    trees += [
        tree
        for question, offered in CHOICES.items()
        for tree in sorted((MACHINERY / "_choices" / question).glob("*"))
        if answers.get(question, offered[0]) in tree.name.split("-or-")
    ]
    for tree in trees:
        for path in sorted(filter(Path.is_file, tree.rglob("*"))):
            name = path.relative_to(tree)
            if name.parts[0] != "_choices" and "__pycache__" not in name.parts:
                yield path, name


def lay_over(project: Path, answers: Answers) -> list[str]:
    """Copy the tests into `project`; return the paths of the test modules, relative to it.

    They stand beside the project's own, in the same folders, and import its helpers.
    """
    package, laid = project.name.replace("-", "_"), []
    for source, name in sources(answers):
        target = project / "tests" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".py":
            text = source.read_text(encoding="utf-8").replace(PACKAGE, package)
            target.write_text(text, encoding="utf-8", newline="\n")
        else:
            shutil.copy(source, target)
        if name.name.startswith("test_"):
            laid.append(target.relative_to(project).as_posix())
    return laid


if __name__ == "__main__":
    folder, *given = sys.argv[1:]
    sys.stdout.write("\n".join(lay_over(Path(folder).resolve(), dict(each.split("=", 1) for each in given))) + "\n")
