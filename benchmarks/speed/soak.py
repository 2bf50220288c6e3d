"""Half an hour under load: `uv run python -m benchmarks.speed.soak [--minutes 30] [--rps 100]`.

Serves a generated project (inside/served.py) on the instant stand-in and sends requests steadily. Prints memory,
tasks, descriptors and what is held after the first minute and at rest after the end. Needs Linux.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from .projects import make
from .servers import HERE, PROMPT, Servers, wait_for

EVERY_S = 20
REST_S = 100
"""By then idle connections are closed and pending writes are done."""
MOST_WAITING = 200
"""Stop if the server can't keep up."""


async def ask(url: str, headers: dict[str, str], rps: float, minutes: float) -> Counter[int]:
    """Return the answers by status."""
    answers: Counter[int] = Counter()
    waiting: set[asyncio.Task[None]] = set()

    async def once(session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=PROMPT, headers=headers) as answer:
            await answer.read()
            answers[answer.status] += 1

    async with aiohttp.ClientSession() as session:
        start = time.monotonic()
        for number in range(int(rps * minutes * 60)):
            await asyncio.sleep(max(0.0, start + number / rps - time.monotonic()))
            if len(waiting) < MOST_WAITING and time.monotonic() < start + minutes * 60:
                task = asyncio.create_task(once(session))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)
    return answers


def last(log: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", default="fastapi")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rps", type=float, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        project = make(options.framework, scratch)
        servers = Servers(stack, scratch)
        figures = scratch / "figures.jsonl"
        served = [str(project.python), str(HERE / "inside/served.py"), "{port}", str(EVERY_S), str(figures)]
        url = servers.start("this", served, project.environment, project.folder) + "/api/chat"
        wait_for(url, json=PROMPT, headers=project.headers["acme"])
        asyncio.run(ask(url, project.headers["acme"], options.rps, 1))
        time.sleep(REST_S)
        print("after a minute and a rest:", last(figures), flush=True)
        print("answers:", dict(asyncio.run(ask(url, project.headers["acme"], options.rps, options.minutes))))
        time.sleep(REST_S)
        print("at the end, at rest:      ", last(figures))


if __name__ == "__main__":
    main()
