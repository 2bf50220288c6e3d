"""Reading of server-sent events as they arrive."""

import re

from .provider import check_size

DONE = b"[DONE]"
# The end of a line, twice. Atomic, so that CR LF is not two of them.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class EventParser:
    """Splits chunks of bytes into events. `rest` is what came after the last whole one."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self._has_returns = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are whole now, each as it came. Raise ProviderError if one is too large."""
        self._has_returns = self._has_returns or chunk.find(b"\r") >= 0
        is_one = chunk.endswith(b"\n\n") and chunk.find(b"\n\n", chunk.find(b"\n")) == len(chunk) - 2
        if is_one and not self.rest and not self._has_returns:  # as most come
            return [chunk]
        searched = max(0, len(self.rest) - 3)  # a blank line may have come in parts
        self.rest += chunk
        events, start = [], 0
        while end := self._end_of_event(max(start, searched)):
            events.append(bytes(self.rest[start:end]))
            start = end
        del self.rest[:start]
        check_size(len(self.rest))
        return events

    def _end_of_event(self, start: int) -> int:
        """Return where the next blank line ends, 0 if there is none."""
        if self._has_returns:
            found = _BLANK_LINE.search(self.rest, start)
            return found.end() if found else 0
        line_end = self.rest.find(b"\n", start)  # several times as fast as to look for two bytes
        end = self.rest.find(b"\n\n", max(start, line_end))
        return end + 2 if end >= 0 else 0


def data_of(event: bytes | bytearray) -> bytes:
    """Return the data of an event, empty if it is a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and event.find(b"\r") < 0:  # as most come
        return bytes(event[6:-2])
    fields = [line.partition(b":") for line in event.removeprefix(b"\xef\xbb\xbf").splitlines()]
    return b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data")
