"""The journal of commits that Cycles has not taken yet: the SDK writes it, this brings it home.

A commit is written down before it is sent: first in its process's own file (`live`), then, when it has to be tried
again, in a file of its own by the SDK, which tries for about 15 seconds. What is left after that, and what a killed
process left, is settled from here: at start, with no traffic, and in a sweep while serving.
Settling twice is harmless: a commit keeps its idempotency key.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from runcycles.journal import CommitJournal, PendingCommitRecord
from runcycles.retry import AsyncCommitRetryEngine

from ..problems import Problem
from .clients import Clients
from .live import Commit
from .sdk import allow_replay, journalled, tenant_of_folder

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 10.0
OURS_AFTER_S = 20.0
"""Younger records are still with the SDK's own retries."""
AT_ONCE = 20
REPLAY_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Commits waiting to be settled, and the age in seconds of the oldest (0 if none)."""

    count: int
    oldest_s: float


class Journal:
    """All tenants' journals below one folder. Other Cycles servers' records in it are left alone."""

    def __init__(self, folder: Path, base_url: str, clients: Clients) -> None:
        self._folder = folder
        self._base_url = base_url
        self._clients = clients

    def backlog(self) -> Backlog:
        ages = [time.time() - written for _, written in self._records()]
        return Backlog(len(ages), max(ages, default=0.0))

    def unreadable(self) -> list[Path]:
        """Records that are not settled, and never will be by themselves: corrupt, or of another version of the SDK.

        The SDK sets them aside as `.corrupt` and deletes none.
        """
        return [*self._folder.glob("*/*.corrupt"), *(path for path, _ in self._records() if not _is_readable(path))]

    async def run(self) -> None:
        """Settle what was left behind, then sweep until cancelled: all at once when Cycles answers again."""
        older_than, recovered = 0.0, self._clients.breaker.recovered
        while True:
            try:
                await self.settle(older_than)
            except Exception:
                log.exception("journal sweep failed, trying again")
            recovered.clear()
            try:
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await recovered.wait()
                older_than = 0.0
            except TimeoutError:
                older_than = OURS_AFTER_S

    async def settle(self, older_than: float) -> None:
        """Try once to settle the journals that hold a record older than `older_than` seconds, or a dead process's."""
        folders = await asyncio.to_thread(self._due, older_than)  # 10,000 tenants' take 0.1 s to look through
        turn = asyncio.Semaphore(AT_ONCE)
        replays = (self._replay(folder, turn) for folder in sorted(folders))
        for error in await asyncio.gather(*replays, return_exceptions=True):
            if error is not None:  # one tenant's, and no reason to leave the others' alone
                log.error("journal not replayed, trying again", exc_info=error)

    def collect(self, older_than: float) -> set[Path]:
        """Journal what dead processes had on their way, and this one for longer than `older_than` seconds.

        Returns the folders that it is in. Calls that were cut with their process are told in the log.
        """
        live = self._clients.live
        written = self._written(live.kept_for(older_than))
        for commit in written:
            live.drop(commit.folder, commit.entry.reservation_id)
        for remains in live.remains():
            taken = self._written(remains.commits)
            written += taken
            if len(taken) < len(remains.commits):  # the disk is full, say: the next sweep tries again
                continue
            remains.bury()
            if remains.holds > 0:  # negative where one ended after its process had let go of its file
                holds, at_most = remains.holds, remains.microcents
                log.warning("calls were cut with an earlier process: their holds expire", holds=holds, at_most=at_most)
        return {self._folder / commit.folder for commit in written}

    def _written(self, commits: list[Commit]) -> list[Commit]:
        return [commit for commit in commits if journalled(CommitJournal(self._folder / commit.folder), commit.entry)]

    def _due(self, older_than: float) -> set[Path]:
        taken_over = self.collect(older_than)
        return taken_over | {path.parent for path, written in self._records() if time.time() - written >= older_than}

    def _records(self) -> list[tuple[Path, float]]:
        """The records' files, and when each was written."""
        found = []
        for path in self._folder.glob("*/*.json"):
            with suppress(FileNotFoundError):  # settled this moment
                found.append((path, path.stat().st_mtime))
        return found

    async def _replay(self, folder: Path, turn: asyncio.Semaphore) -> None:
        tenant = tenant_of_folder(self._base_url, folder.name)
        if tenant is None:
            return
        async with turn:
            try:
                client = await self._clients.of(tenant)
            except Problem:
                log.error("journal of a tenant without a usable Cycles key", tenant=tenant, folder=str(folder))
                return
            config = replace(client.config, retry_enabled=True, retry_max_attempts=1, retry_initial_delay=0.0)
            engine = AsyncCommitRetryEngine(config)
            allow_replay(folder)
            engine.set_client(client)  # this is what makes the SDK read the folder and start
            await engine.flush(REPLAY_TIMEOUT_S)


def _is_readable(path: Path) -> bool:
    try:
        PendingCommitRecord.from_json(path.read_bytes().decode())
    except (OSError, ValueError):
        return False
    return True
