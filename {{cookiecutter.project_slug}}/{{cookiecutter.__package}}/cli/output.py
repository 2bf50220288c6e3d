"""Output of commands: data on stdout, messages on stderr. Exit 0 done, 1 refused or failed, 2 usage."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from ..core.problems import Problem


@contextmanager
def command_line() -> Iterator[None]:
    """Run the command of `sys.argv` in this block. Shows what it raises."""
    as_json = "--json" in sys.argv
    try:
        yield
    except (Problem, ValidationError) as error:
        refused = Problem("invalid", faults_of(error)) if isinstance(error, ValidationError) else error
        show({"error": {"code": refused.code, "message": refused.message}}, as_json)
        sys.exit(2 if refused.code in ("usage", "not_offered") else 1)
    except SystemExit as end:
        if as_json and end.code == 2:  # the parser has written to stderr what is wrong
            show({"error": {"code": "usage", "message": "See `--help`."}}, as_json)
        raise


def program() -> str:
    """Return how this command line was called, for its usage."""
    called = Path(sys.argv[0])
    return f"python -m {called.parent.name}" if called.name == "__main__.py" else called.name


def show(answer: dict[str, Any], as_json: bool) -> None:
    """Write an answer. Its `note` and the message of its `error` are for people."""
    if note := answer.pop("note", None):
        _write(note, sys.stderr)
    if error := answer.get("error"):
        _write(error["message"], sys.stderr)
    if as_json:
        _write(json.dumps(answer))
        return
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            _write_table(value)
        elif value not in (None, []) and name != "error":
            _write(f"{name}: {' '.join(value) if isinstance(value, list) else value}")


def faults_of(error: ValidationError) -> str:
    """Return a line for each invalid setting, without the value, which may be a secret."""
    faults = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
    return "\n".join(f"{name.upper()}: {message}" for name, message in faults)


def _write_table(rows: list[Mapping[str, Any]]) -> None:
    texts = [["" if value is None else str(value) for value in row.values()] for row in rows]
    cells = [list(rows[0]), *texts]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        _write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _write(text: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")
