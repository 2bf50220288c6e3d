"""One route of the provider's API."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..llm.provider import Item
from .fields import RULES


@dataclass(frozen=True)
class Endpoint:
    """A POST route. Its table in fields.toml is named after its path.

    `items_of` reads an event's JSON or a whole answer, `usage_in` finds the usage object there, empty if it has none.
    """

    path: str
    items_of: Callable[[Any], Iterator[Item]]
    usage_in: Callable[[dict[str, Any]], dict[str, Any]]
    is_free: bool = False
    asks_for_usage: bool = False
    """A stream reports usage only if `stream_options.include_usage` is set."""

    @property
    def limits(self) -> list[str]:
        """The members that limit the output."""
        return [name for name, rule in RULES[self.path].items() if rule == "limit"]
