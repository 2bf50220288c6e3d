"""Serve a generated project in its own environment, and log figures that can't be seen from outside.

`served.py PORT EVERY_S FILE` appends a line of JSON to the file: memory, tasks, descriptors, money held. For soak.py.
"""

import asyncio
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

import uvicorn

APP = "acme_chat.main:app" if importlib.util.find_spec("acme_chat.main") else "acme_chat.asgi:application"


async def main(port: int, every_s: float, file: Path) -> None:
    server = uvicorn.Server(uvicorn.Config(APP, port=port, lifespan="on", access_log=False, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        await asyncio.wait([serving], timeout=every_s)
        if server.lifespan.state.get("services"):
            metrics = importlib.import_module("acme_chat.core.metrics").OURS
            held = metrics.get_sample_value("budget_held_microcents")
            note(file, {"tasks": len(asyncio.all_tasks()), "held": held} | resources())


def note(file: Path, figures: dict[str, float]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(figures) + "\n")


def resources() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "descriptors": len([*Path("/proc/self/fd").iterdir()]),
    }


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])))
