"""The list of what callers may send to the provider's API: fields.toml, which explains the rules."""

import json
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

from ..budget.prices import most_bytes
from ..core.problems import Problem
from ..llm.metering import BYTES_PER_TOKEN
from ..llm.provider import Body

RULES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("fields.toml").read_text("utf-8"))
HEADERS: dict[str, list[str]] = RULES["headers"]
TYPES: dict[str, type[Any]] = {"model": str, "flag": bool, "limit": int, "choices": int}
"""Of the values of these rules. Numbers are at least 1."""


class Fields:
    """Checks a body against the list. `found` has the values of its fields by their rule."""

    def __init__(self, body: dict[str, Any], table: str) -> None:
        """Raise Problem invalid_request or unsupported_parameter."""
        self.found = defaultdict[str, list[Any]](list)
        self._body = body
        try:
            self._check(body, table, "")
            self._text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        except (RecursionError, ValueError):
            raise Problem("invalid_request", "The body is nested too deeply, or has a number that is none.") from None

    @property
    def size(self) -> Body:
        """What the hold has to cover."""
        images = [len(image) for image in self.found["image"] if isinstance(image, str)]
        return Body(
            most_tokens=(size := most_bytes(self._text) - sum(images)),
            tokens=size // BYTES_PER_TOKEN,
            images=len(self.found["image"]),
            choices=max(self.found["choices"], default=1),
            has_tools=bool(self._body.keys() & {"tools", "functions", "output_config"}),
            caches=bool(self.found["cached"]),
        )

    def _check(self, value: Any, table: str, place: str) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._check(item, table, f"{place}[{index}]")
        elif isinstance(value, dict):
            rules = _rules(value, table, place)
            for name, inner in value.items():
                self._check_field(rules.get(name), inner, f"{place}.{name}" if place else name)
            for name, rule in rules.items():
                if rule == "required" and not value.get(name):
                    raise unsupported(place, f"It needs {name}.")

    def _check_field(self, rule: Any, value: Any, place: str) -> None:
        if value is None and rule is not None:
            return
        if rule is None or rule == "refused":
            raise unsupported(place)
        if isinstance(rule, list):
            values = value if isinstance(value, list) else [value]
            if not all(each in rule for each in values):
                raise unsupported(place, f"Allowed: {', '.join(map(json.dumps, rule))}.")
        elif rule.startswith("#"):
            self._check(value, rule[1:], place)
        else:
            kind = TYPES.get(rule)
            if kind and (type(value) is not kind or (kind is int and value < 1)):
                why = f"{place} must be of type {kind.__name__}{', at least 1' if kind is int else ''}."
                raise Problem("invalid_request", why, param=place)
            self.found[rule].append(value)


def _rules(value: dict[str, Any], table: str, place: str) -> dict[str, Any]:
    rules: dict[str, Any] = RULES[table]
    for kind, variants in rules.items():
        if isinstance(variants, dict):  # the only one
            variant = value.get(kind) or ""
            if not isinstance(variant, str) or variant not in variants:
                raise unsupported(f"{place}.{kind}")
            return {kind: "passed", **variants[variant]}
    return rules


def unsupported(place: str, why: str = "") -> Problem:
    """Return the refusal of a field, which it names."""
    place = place.encode("ascii", "replace").decode()[:200]
    return Problem("unsupported_parameter", f"{place} is not supported here. {why}".strip(), param=place)
