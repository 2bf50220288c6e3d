"""Print the lines of code of both generated projects by package: `uv run python -m tests.size`.

Blank lines, comments and docstrings are not counted.
"""

import ast
import io
import tempfile
import tokenize
from collections import Counter
from pathlib import Path

from cookiecutter.main import cookiecutter

from .conftest import CHOICES, copy_template

LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def lines_of_code(source: str) -> int:
    """Count the lines that have code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def by_folder(project: Path) -> Counter[str]:
    """Count the code of each folder, the package's by its subfolders."""
    sizes: Counter[str] = Counter()
    package = project.name.replace("-", "_")
    for path in project.rglob("*.py"):
        first, *rest = path.relative_to(project).parts
        below = rest[0] if len(rest) > 1 else ""
        size = lines_of_code(path.read_text(encoding="utf-8"))
        sizes[f"{first}/{below}" if first == package else first] += size
        if first == package:
            sizes["application"] += size
    return sizes


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        template = copy_template(Path(folder) / "template")
        sizes = {}
        for framework in CHOICES["framework"]:
            output = Path(folder) / framework
            answers = {"framework": framework}
            sizes[framework] = by_folder(
                Path(cookiecutter(str(template), no_input=True, extra_context=answers, output_dir=str(output)))
            )
    print(_row("", *sizes))
    for name in sorted(set().union(*sizes.values())):
        print(_row(name, *(str(size[name]) for size in sizes.values())))


def _row(name: str, *cells: str) -> str:
    return f"{name:<24}" + "".join(f"{cell:>10}" for cell in cells)


if __name__ == "__main__":
    main()
