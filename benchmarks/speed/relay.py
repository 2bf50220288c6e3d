"""Cost of the provider's API: `uv run python -m benchmarks.speed.relay [--rounds 5] [--seconds 3]`.

Measures CPU of the server, on one core, with an instant local provider: a plain call of /v1 beside /api/chat, and a
chunk of a stream beside a bare relay of the same bytes, in turns. Writes its figures into docs/speed.md. Needs Linux
and wrk. `--litellm PYTHON` adds LiteLLM's proxy, installed in the environment of that Python.
"""

import argparse
import asyncio
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import ROOT

from .projects import make
from .servers import HERE, PROMPT, VENDOR_KEY, VENDOR_MODEL, Servers, load, machine, start_vendor, wait_for

MARK = "<!-- relay -->"
PLAIN = {"model": VENDOR_MODEL, "messages": [{"role": "user", "content": "hello"}]}
SHORT, LONG = 50, 1_050
STREAMS = 8
LITELLM = f"""
model_list:
  - model_name: {VENDOR_MODEL}
    litellm_params: {{model: openai/{VENDOR_MODEL}, api_base: VENDOR/v1, api_key: {VENDOR_KEY}}}
general_settings: {{master_key: {VENDOR_KEY}}}
"""


@dataclass(frozen=True)
class Server:
    name: str
    url: str
    headers: dict[str, str]


def start(framework: str, servers: Servers, vendor: dict[str, str]) -> Server:
    project = make(framework, servers.scratch, llm_provider="openai")
    url = servers.start(framework, project.serve, project.environment | vendor, project.folder)
    wait_for(f"{url}/api/chat", json=PROMPT, headers=project.headers["acme"])
    if framework == "fastapi":
        uvicorn = [str(project.python), "-m", "uvicorn", "--no-access-log", "--log-level", "warning"]
        command = [*uvicorn, "--http", "h11", "--lifespan", "off", "--port", "{port}", "relay_floor:app"]
        bare = servers.start("bare", command, {"VENDOR_URL": servers.urls["vendor"]}, HERE / "rivals")
        wait_for(f"{bare}/v1/chat/completions", json=PLAIN)
    return Server(framework, url, project.headers["acme"])


def requests(servers: Servers, server: Server, seconds: float, *, ours: bool) -> dict[str, tuple[float, float]]:
    """Return CPU milliseconds of a plain request and requests a second, by route."""
    bodies: dict[str, Any] = {"/v1/chat/completions": PLAIN} | ({"/api/chat": PROMPT} if ours else {})
    found = {}
    for path, body in bodies.items():
        sample = load(servers, server.name, server.url + path, [server.headers], 16, seconds, body)
        assert not sample.refused, path
        found[path] = (sample.cpu_ms, sample.rps)
    return found


async def chunk_us(servers: Servers, server: Server) -> float:
    """Return CPU microseconds of a chunk: the difference between long and short streams, per chunk."""
    spent = []
    async with aiohttp.ClientSession(headers=server.headers) as http:

        async def read(chunks: int) -> None:
            body = {**PLAIN, "stream": True, "messages": [{"role": "user", "content": f"stream {chunks}"}]}
            async with http.post(f"{server.url}/v1/chat/completions", json=body) as answer:
                assert b"[DONE]" in await answer.read()

        for chunks in (SHORT, LONG):
            before = servers.cpu_s(server.name)
            await asyncio.gather(*(read(chunks) for _ in range(STREAMS)))
            await asyncio.sleep(0.3)
            spent.append(servers.cpu_s(server.name) - before)
    return (spent[1] - spent[0]) / (STREAMS * (LONG - SHORT)) * 1e6


def measured(servers: Servers, rounds: int, seconds: float, litellm: str | None) -> list[str]:
    vendor = start_vendor(servers)
    found = [start(framework, servers, vendor) for framework in ("fastapi", "django")]
    bare = Server("bare", servers.urls["bare"], {})
    lines = ["| what | median | least-most | goal |", "|---|---:|---:|---:|"]

    def row(what: str, figures: list[float], goal: str, unit: str = "") -> None:
        least, middle, most = min(figures), statistics.median(figures), max(figures)
        lines.append(f"| {what} | {middle:.2f}{unit} | {least:.2f}-{most:.2f} | {goal} |")

    chunks = [{each.name: asyncio.run(chunk_us(servers, each)) for each in (bare, *found)} for _ in range(rounds)]
    row("a chunk of a bare relay, CPU", [each["bare"] for each in chunks], "", " us")
    for server in found:
        plain = [requests(servers, server, seconds, ours=True) for _ in range(rounds)]
        v1, chat = [each["/v1/chat/completions"] for each in plain], [each["/api/chat"] for each in plain]
        row(f"{server.name}: a request to /v1, CPU", [cpu for cpu, _ in v1], "2 ms", " ms")
        row(f"{server.name}: a request to /api/chat, CPU", [cpu for cpu, _ in chat], "2 ms", " ms")
        row(
            f"{server.name}: /v1 over /api/chat",
            [one / two for (one, _), (two, _) in zip(v1, chat, strict=True)],
            "1.1",
        )
        row(f"{server.name}: /v1, requests a second", [rps for _, rps in v1], "")
        over = [each[server.name] - each["bare"] for each in chunks]
        row(f"{server.name}: a streamed chunk, over a bare relay", over, "10 us", " us")
    if litellm:
        config = servers.scratch / "litellm.yaml"
        config.write_text(LITELLM.replace("VENDOR", servers.urls["vendor"]), encoding="utf-8")
        command = [str(Path(litellm).with_name("litellm")), "--config", str(config), "--port", "{port}"]
        url = servers.start("litellm", command, {}, servers.scratch)
        proxy = Server("litellm", url, {"Authorization": f"Bearer {VENDOR_KEY}"})
        wait_for(f"{url}/v1/chat/completions", json=PLAIN, headers=proxy.headers, timeout=30)
        plain = [requests(servers, proxy, seconds, ours=False) for _ in range(rounds)]
        found_there = [each["/v1/chat/completions"] for each in plain]
        row("LiteLLM's proxy with a key, no budget: a request, CPU", [cpu for cpu, _ in found_there], "", " ms")
        row("LiteLLM's proxy: requests a second", [rps for _, rps in found_there], "")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--litellm")
    given = parser.parse_args()
    command = f"uv run python -m benchmarks.speed.relay --rounds {given.rounds} --seconds {given.seconds:g}"
    command += " --litellm PYTHON" if given.litellm else ""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        about = f"Medians of {given.rounds} rounds, from `{command}`\non {machine()}.\n"
        servers = Servers(stack, Path(scratch))
        lines = [about, *measured(servers, given.rounds, given.seconds, given.litellm)]
    print("\n".join(lines))
    page = ROOT / "docs/speed.md"
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    page.write_text("\n".join([before + MARK, *lines, MARK + after]), encoding="utf-8")


if __name__ == "__main__":
    main()
