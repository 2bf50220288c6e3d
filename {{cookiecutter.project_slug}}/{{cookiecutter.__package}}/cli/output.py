"""Output of commands: data on stdout, messages on stderr. Exit 0 done, 1 refused or failed, 2 usage."""

import json
import re
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
    except KeyboardInterrupt:
        sys.exit(130)  # as shells report SIGINT
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
    columns = [[name, *("" if row[name] is None else str(row[name]) for row in rows)] for name in rows[0]]
    aligned = [_align(cells) for cells in columns if any(cells[1:])]
    for line in zip(*aligned, strict=True):
        _write("  ".join(line).rstrip())


def _align(cells: list[str]) -> list[str]:
    """Pad the cells of a column to one width. Numbers have their points below each other."""
    if all(re.fullmatch(r"-?[\d.]*", cell) for cell in cells[1:]):
        places = [len(cell.partition(".")[2]) for cell in cells[1:]]
        cells[1:] = [cell + " " * (max(places) - own) for cell, own in zip(cells[1:], places, strict=True)]
        return [cell.rjust(max(map(len, cells))) for cell in cells]
    return [cell.ljust(max(map(len, cells))) for cell in cells]


def _write(text: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")
