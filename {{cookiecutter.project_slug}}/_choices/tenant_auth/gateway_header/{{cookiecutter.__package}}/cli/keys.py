"""Commands for callers' credentials: none, they are not made here."""

from typing import Any

COMMANDS: dict[str, Any] = {}
