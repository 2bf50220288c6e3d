"""Reading of server-sent events as they arrive."""

import re

from .provider import check_size

DONE = b"[DONE]"
_BLANK_LINE = re.compile(rb"\n\n")
# Ends of lines of any kind, several times slower. Atomic, so that CR LF is not two of them.
_ANY_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class EventParser:
    """Splits chunks of bytes into events. `rest` is what came after the last whole one."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self._blank_line = _BLANK_LINE

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that are whole now, each as it came. Raise ProviderError if one is too large."""
        if chunk.find(b"\r") >= 0:
            self._blank_line = _ANY_BLANK_LINE
        elif not self.rest and chunk.endswith(b"\n\n") and chunk.find(b"\n\n") == len(chunk) - 2:  # as most come
            return [chunk]
        searched = max(0, len(self.rest) - 3)  # a blank line may have come in parts
        self.rest += chunk
        events, start = [], 0
        while end := self._blank_line.search(self.rest, max(start, searched)):
            events.append(bytes(self.rest[start : end.end()]))
            start = end.end()
        del self.rest[:start]
        check_size(len(self.rest))
        return events


def data_of(event: bytes | bytearray) -> bytes:
    """Return the data of an event, empty if it is a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and event.find(b"\r") < 0:  # as most come
        return bytes(event[6:-2])
    fields = [line.partition(b":") for line in event.removeprefix(b"\xef\xbb\xbf").splitlines()]
    return b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data")
