"""A stand-in for the model provider's API. Tests set the scene that it plays."""

import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from .listening import Quiet, listening

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close without a goodbye


@dataclass(frozen=True)
class Scene:
    """An answer: a stream of events (JSON, or bytes as they are), or a whole `body`.

    One that hangs without events sends no headers either.
    """

    events: tuple[Any, ...] = ()
    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Literal["ends", "hangs", "breaks off"] = "ends"


class Vendor:
    """The running stand-in. `asked` has the bodies of its requests; `left` is set when a client hangs up on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.scene = Scene()
        self.scenes: dict[str, Scene] = {}
        """By the model that is asked for, before `scene`."""
        self.queue: list[Scene] = []
        """Played once each, before all others."""
        self.asked: list[dict[str, Any]] = []
        self.left = threading.Event()

    def plays(self, *events: Any, **details: Any) -> None:
        self.scene = Scene(events, **details)
        self.left.clear()


def framed(event: Any) -> bytes:
    """An event as the vendor sends it: Anthropic's have a name."""
    name = f"event: {event['type']}\n".encode() if isinstance(event, dict) and "type" in event else b""
    return name + b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"


@contextmanager
def run_vendor() -> Iterator[Vendor]:
    over = threading.Event()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            vendor.asked.append(asked)
            scene = vendor.queue.pop(0) if vendor.queue else vendor.scenes.get(asked["model"], vendor.scene)
            with suppress(ConnectionError):  # the app has hung up
                self.answer(scene)
            if scene.then == "hangs":
                self.hang()
            if scene.then == "breaks off":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.connection.close()

        def answer(self, scene: Scene) -> None:
            if not scene.events and scene.then != "ends":
                return
            self.send_response(scene.status)
            for name, value in scene.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/event-stream" if scene.body is None else "application/json")
            self.end_headers()
            for event in scene.events:
                self.wfile.write(framed(event))
            if scene.body is not None:
                self.wfile.write(json.dumps(scene.body).encode())

        def hang(self) -> None:
            self.connection.settimeout(0.05)
            while not over.is_set():
                with suppress(TimeoutError):
                    if not self.connection.recv(1):
                        vendor.left.set()
                        return

    with listening(Handler) as url:
        vendor = Vendor(url)
        try:
            yield vendor
        finally:
            over.set()
