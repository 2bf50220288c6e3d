"""Reading of server-sent events as they arrive."""

import re
from itertools import pairwise

from .provider import check_size

DONE = b"[DONE]"
_PLAIN = re.compile(rb"(?:event: .*\n)?data: (.*)\n\n")
"""Most events."""
_BLANK_LINE = re.compile(rb"(?:\n|\r\n?+)(?:\n|\r\n?+)")
"""With ends of lines of any kind. CR LF is one."""


class EventParser:
    """Splits chunks of bytes into events. `rest` is what came after the last whole one."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Return the events that are whole now, each with its data. Raise ProviderError if one is too large."""
        if not self.rest and chunk.find(b"\r") < 0 and (plain := _PLAIN.fullmatch(chunk)):
            return [(chunk, plain[1])]
        searched = max(0, len(self.rest) - 3)  # a blank line may have come in parts
        self.rest += chunk
        ends = [0, *(found.end() for found in _BLANK_LINE.finditer(self.rest, searched))]
        events = [bytes(self.rest[start:end]) for start, end in pairwise(ends)]
        del self.rest[: ends[-1]]
        check_size(len(self.rest))
        return [(event, data_of(event)) for event in events]


def data_of(event: bytes | bytearray) -> bytes:
    """Return the data of an event, empty if it is a comment."""
    if event.find(b"\r") < 0 and (plain := _PLAIN.fullmatch(event)):
        return plain[1]
    fields = [line.partition(b":") for line in event.removeprefix(b"\xef\xbb\xbf").splitlines()]
    return b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data")
