"""The list of what callers may send to the provider's API: fields.toml, which explains the rules."""

import json
import tomllib
from pathlib import Path
from typing import Any

from ..budget.prices import most_bytes
from ..core.problems import Problem
from ..llm.metering import BYTES_PER_TOKEN
from ..llm.provider import Body

RULES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("fields.toml").read_text("utf-8"))
HEADERS: dict[str, list[str]] = RULES["headers"]

TOKENS_FOR_TOOLS = 1_000
"""What providers add to a call with tools or a format, beside their text."""


class Sizes:
    """Checks a body against the list, and counts what its hold has to cover."""

    def __init__(self) -> None:
        self._images = self._image_characters = 0
        self._caches = False

    def of(self, body: dict[str, Any], table: str) -> Body:
        """Return the size of a body. Raise Problem unsupported_parameter."""
        try:
            self._check(body, table, "")
            text = json.dumps(body, ensure_ascii=False, allow_nan=False)
        except (RecursionError, ValueError):
            raise Problem("invalid_request", "The body is nested too deeply, or has a number that is none.") from None
        adds = TOKENS_FOR_TOOLS if body.keys() & {"tools", "functions", "output_config"} else 0
        text_size = most_bytes(text) - self._image_characters
        return Body(text_size + adds, text_size // BYTES_PER_TOKEN, self._images, body.get("n") or 1, self._caches)

    def _check(self, value: Any, table: str, place: str) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._check(item, table, f"{place}[{index}]")
        elif isinstance(value, dict):
            rules = self._rules(value, table, place)
            for name, inner in value.items():
                self._check_field(rules.get(name), inner, f"{place}.{name}" if place else name)
            for name, rule in rules.items():
                if rule == "required" and not value.get(name):
                    raise unsupported(place, f"It needs {name}.")

    def _rules(self, value: dict[str, Any], table: str, place: str) -> dict[str, Any]:
        rules: dict[str, Any] = RULES[table]
        for kind, variants in rules.items():
            if isinstance(variants, dict):  # the only one
                variant = value.get(kind) or ""
                if not isinstance(variant, str) or variant not in variants:
                    raise unsupported(f"{place}.{kind}")
                return {kind: "passed", **variants[variant]}
        return rules

    def _check_field(self, rule: Any, value: Any, place: str) -> None:
        if value is None and rule is not None:
            return
        if rule is None or rule == "refused":
            raise unsupported(place)
        if isinstance(rule, list):
            values = value if isinstance(value, list) else [value]
            if not all(each in rule for each in values):
                raise unsupported(place, f"Allowed: {', '.join(map(json.dumps, rule))}.")
        elif rule == "image":
            self._images += 1
            self._image_characters += len(value) if isinstance(value, str) else 0
        elif rule == "cached":
            self._caches = True
        elif rule.startswith("#"):
            self._check(value, rule[1:], place)


def unsupported(place: str, why: str = "") -> Problem:
    """Return the refusal of a field, which it names."""
    place = place.encode("ascii", "replace").decode()[:200]
    return Problem("unsupported_parameter", f"{place} is not supported here. {why}".strip(), members={"param": place})
