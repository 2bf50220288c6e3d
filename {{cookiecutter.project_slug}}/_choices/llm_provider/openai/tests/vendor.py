"""A stand-in for OpenAI's API. Tests set what it answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from .listening import Quiet, listening

HANGS_S = 30
MODEL = "gpt-5.4-mini"
INPUT, OUTPUT = 75, 450  # microcents a token: budget/prices.toml


class Reply:
    """An answer being written. `asked` is the body of the request."""

    def __init__(self, handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
        self.asked: dict[str, Any] = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self._handler = handler
        self._over = over

    def whole(self, text: str, usage: tuple[int, int] | None, model: str = MODEL, status: int = 200) -> None:
        """Send a plain answer; `usage` is input and output tokens."""
        body = {"model": model, "choices": [{"message": {"content": text}}], **_told(usage)}
        self._begin(status, "application/json")
        self._handler.wfile.write(json.dumps(body).encode())

    def pieces(self, *texts: str, thinking: str = "", usage: tuple[int, int] | None = None, model: str = MODEL) -> None:
        """Stream reasoning, text and usage. The stream ends when the function that answers returns."""
        self._begin(200, "text/event-stream")
        deltas = [{"reasoning_content": thinking}] if thinking else []
        for delta in [*deltas, *({"content": text} for text in texts)]:
            self._event({"model": model, "choices": [{"index": 0, "delta": delta}]})
        if usage:
            self._event({"model": model, "choices": [], **_told(usage)})

    def end(self) -> None:
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

    def hang(self) -> None:
        self._over.wait(HANGS_S)

    def _begin(self, status: int, content_type: str) -> None:
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        self._handler.end_headers()

    def _event(self, chunk: dict[str, Any]) -> None:
        self._handler.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def _told(usage: tuple[int, int] | None) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}} if usage else {}


class Vendor:
    """The running stand-in. Tests set `answer`; `url` is for OPENAI_BASE_URL."""

    answer: Callable[[Reply], None]

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0


@contextmanager
def run_vendor() -> Iterator[Vendor]:
    over = threading.Event()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            vendor.requests += 1
            with suppress(ConnectionError):  # the app has hung up
                vendor.answer(Reply(self, over))

    with listening(Handler) as url:
        vendor = Vendor(f"{url}/v1")
        try:
            yield vendor
        finally:
            over.set()
