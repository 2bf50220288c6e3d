"""How commands speak: data on stdout, words on stderr. With --json, one object on stdout."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from pydantic import ValidationError


class Told(SystemExit):
    """The end of a command that has said why."""


@contextmanager
def command_line() -> Iterator[None]:
    """Around the command that `sys.argv` names: what keeps it from running is told as what it refuses is."""
    as_json = "--json" in sys.argv
    try:
        yield
    except ValidationError as error:  # a setting that cannot be read
        fail("invalid", faults_of(error), as_json)
    except SystemExit as end:
        if as_json and end.code == 2 and not isinstance(end, Told):  # its parser has said on stderr what is wrong
            show({"error": {"code": "usage", "message": "See `--help`."}}, as_json)
        raise


def show(answer: dict[str, Any], as_json: bool) -> None:
    """Tell what came out; its `note` and the message of its `error` are words."""
    if note := answer.pop("note", None):
        _say(note, sys.stderr)
    if error := answer.get("error"):
        _say(error["message"], sys.stderr)
    if as_json:
        _say(json.dumps(answer))
        return
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            _show_table(value)
        elif value not in (None, []) and name != "error":
            _say(f"{name}: {' '.join(value) if isinstance(value, list) else value}")


def fail(code: str, message: str, as_json: bool, status: int = 1) -> NoReturn:
    """Tell why a command is refused, and end it."""
    _say(message, sys.stderr)
    if as_json:
        _say(json.dumps({"error": {"code": code, "message": message}}))
    raise Told(status)


def faults_of(error: ValidationError) -> str:
    """What is wrong with settings or values, a line each; never the input, which may be a secret."""
    faults = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
    if error.title == "Settings":
        return "\n".join(f"{name.upper()}: {message}" for name, message in faults)
    return "\n".join(f"{error.title}: {place}: {message}" for place, message in faults)


def _show_table(rows: list[Mapping[str, Any]]) -> None:
    texts = [["" if value is None else str(value) for value in row.values()] for row in rows]
    cells = [list(rows[0]), *texts]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        _say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _say(text: str, stream: TextIO | None = None) -> None:
    (stream or sys.stdout).write(f"{text}\n")
