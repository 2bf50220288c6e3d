"""Workers that share an outbox, each in a process of its own: `python -m tests.unit TASK COUNT`."""

import asyncio
import json
import os
import signal
import threading
import time
import traceback
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget.client import Clients
from {{ cookiecutter.__package }}.budget.fail_open import FailOpen
from {{ cookiecutter.__package }}.budget.outbox import Outbox, Settlement
from {{ cookiecutter.__package }}.budget.sweeper import Sweeper
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.sqlite_file import ERRORS
from {{ cookiecutter.__package }}.tenants.registry import open_registry

from ..commands import FORK, Running, run_module
from ..running import ROOT, STARTED_WITH
from .embedded import USD

MODULE = "tests.unit"
EACH = 200
"""Settlements that a worker books."""
ALLOWANCE = 100
ROUNDS = 60


@dataclass(frozen=True)
class Worker:
    """One of several workers, all of which begin at the same instant."""

    number: int
    begin_at: float
    settings: Settings
    clients: Clients


def booking(settings: Settings, key: str, tenant: str = "acme", amount: int = 1) -> Settlement:
    """An event that charges one microcent."""
    action = {"kind": "llm.completion", "name": "demo-1"}
    body = {"idempotency_key": key, "subject": settings.root_of(tenant), "action": action}
    return Settlement(tenant=tenant, body={**body, "actual": {"unit": USD, "amount": amount}})


async def create(worker: Worker) -> int:
    """Open one outbox after the other, each at the instant that the other workers do: how many could be used."""
    created = 0
    for number in range(ROUNDS):
        await asyncio.sleep(max(0.0, worker.begin_at + number * 0.015 - time.time()))
        outbox = Outbox(worker.settings.cycles_journal_dir / str(number), "http://cycles", lambda _: 1.0)
        with suppress(*ERRORS), closing(outbox):
            outbox.check()
            outbox.add(booking(worker.settings, f"new-{worker.number}"))
            created += 1
    return created


async def book(worker: Worker, dies_after: int = EACH) -> int:
    """Book, sweep and checkpoint as a busy worker does, which may be killed in the middle."""
    outbox, sweeper = worker.clients.outbox, Sweeper(worker.clients)
    for each in range(EACH):
        if each == dies_after:
            threading.Timer(0.003, os.kill, (os.getpid(), signal.SIGKILL)).start()
        outbox.add(booking(worker.settings, f"{worker.number}-{each}"), due_now=True)
        if each % 20 == 0:
            await asyncio.gather(sweeper.sweep(), asyncio.to_thread(outbox.file.checkpoint))
    await sweeper.sweep()
    return EACH


async def book_until_killed(worker: Worker) -> int:
    """The same, and the last of four workers is killed."""
    return await book(worker, EACH // 2 if worker.number == 3 else EACH)


async def admit(worker: Worker) -> int:
    """Serve calls without a hold: how many were admitted."""
    fail_open = FailOpen(ALLOWANCE, worker.clients.outbox.file)
    return sum(fail_open.admit("acme", 1) is not None for _ in range(ALLOWANCE // 2))


async def commit(worker: Worker) -> None:
    """Charge 700 microcents of a hold of 1,000."""
    client = await worker.clients.of("acme")
    hold = booking(worker.settings, "reserve").body | {"estimate": {"unit": USD, "amount": 1_000}}
    del hold["actual"]
    answer = await client.create_reservation(hold)
    spent = {"idempotency_key": "commit", "actual": {"unit": USD, "amount": 700}}
    await client.commit_reservation(answer.get_body_attribute("reservation_id"), spent)


async def sweep(worker: Worker) -> None:
    await Sweeper(worker.clients).run()


def started(environment: dict[str, str], task: Any, folder: Path) -> Running:
    """One worker, for a test to kill."""
    if not FORK:
        pytest.skip("needs fork()")
    streams = {1: folder / "stdout", 2: folder / "stderr"}
    return Running(MODULE, [task.__name__, "1"], ROOT, STARTED_WITH | environment, streams)


def results(environment: dict[str, str], task: Any, count: int = 4) -> list[dict[str, Any]]:
    """The `result` and the `errors` logged of so many workers that start at one instant; none of those killed."""
    if not FORK:
        pytest.skip("needs fork()")
    done = run_module(MODULE, [task.__name__, str(count)], ROOT, STARTED_WITH | environment)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


async def _run(task: str, number: int, begin_at: float) -> Any:
    settings = Settings()
    async with open_registry(settings.database_url) as registry:
        clients = Clients(settings, registry)
        try:
            return await globals()[task](Worker(number, begin_at, settings, clients))
        finally:
            await clients.aclose()


def _work(task: str, number: int, begin_at: float) -> None:
    time.sleep(max(0.0, begin_at - time.time()))
    try:
        with capture_logs() as logs:
            result = asyncio.run(_run(task, number, begin_at))
        errors = [str(each.get("exc_info") or each) for each in logs if each["log_level"] == "error"]
        os.write(1, json.dumps({"result": result, "errors": errors}).encode() + b"\n")
    except BaseException:  # noqa: BLE001  (whatever it is, the test shows it)
        os.write(2, traceback.format_exc().encode())


def main(task: str, count: int) -> None:
    """Run the task in so many processes, this one among them."""
    begin_at = time.time() + 0.1
    for number in range(1, count):
        if not os.fork():
            _work(task, number, begin_at)
            os._exit(0)
    _work(task, 0, begin_at)
    for _ in range(1, count):
        os.wait()
