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
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from runcycles import CyclesResponse
from runcycles.journal import CommitJournal, PendingCommitRecord

from ..memo import Once
from ..problems import Problem
from .clients import Clients, TenantClient
from .live import Commit
from .sdk import ReplayEngine, allow_replay, journalled, tenant_of_folder

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 10.0
OURS_AFTER_S = 20.0
"""Younger records are still with the SDK's own retries."""
AT_ONCE = 20
"""Of what comes home; the other connections to Cycles are for those who call meanwhile."""
PATIENCE_S = 15.0
"""What takes longer to settle goes on by itself."""
LONGEST_REPLAY_S = 2 * 3600.0
"""The SDK waits for an hour at most, where a server asks it to."""


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
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._replaying = Once()

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
            recovered.clear()  # what comes back meanwhile is not missed
            try:
                await self.settle(older_than)
            except Exception:
                log.exception("journal sweep failed, trying again")
            try:
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await recovered.wait()
                older_than = 0.0
            except TimeoutError:
                older_than = OURS_AFTER_S

    async def settle(self, older_than: float) -> None:
        """Try once to settle the journals that hold a record older than `older_than` seconds, or a dead process's."""
        folders = await asyncio.to_thread(self._due, older_than)  # 10,000 tenants' take 0.1 s to look through
        replays = (self._replaying.get(folder, partial(self._replay, folder)) for folder in sorted(folders))
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*replays)

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
        ages = ((path.parent, time.time() - written) for path, written in self._records())
        return taken_over | {folder for folder, age in ages if not 0 <= age < older_than}  # below 0: a clock was ahead

    def _records(self) -> list[tuple[Path, float]]:
        """The records' files, and when each was written."""
        found = []
        for path in self._folder.glob("*/*.json"):
            with suppress(FileNotFoundError):  # settled this moment
                found.append((path, path.stat().st_mtime))
        return found

    async def _replay(self, folder: Path) -> None:
        """Try once all that the folder holds. What goes wrong is one tenant's, and no reason to leave the others'."""
        tenant = tenant_of_folder(self._base_url, folder.name)
        if tenant is None:
            return
        try:
            async with self._turn:
                client = await self._clients.of(tenant)
            config = replace(client.config, retry_enabled=True, retry_max_attempts=1, retry_initial_delay=0.0)
            engine = ReplayEngine(config)
            allow_replay(folder)
            engine.set_client(_InTurn(client, self._turn))  # this makes the SDK read the folder, and try all of it
            await engine.flush(LONGEST_REPLAY_S)
        except Problem:
            log.error("journal of a tenant without a usable Cycles key", tenant=tenant, folder=str(folder))
        except Exception:
            log.exception("journal not replayed, trying again", tenant=tenant, folder=str(folder))


class _InTurn:
    """A client for the SDK, which tries all that a folder holds side by side."""

    def __init__(self, client: TenantClient, turn: asyncio.Semaphore) -> None:
        self._client = client
        self._turn = turn

    async def commit_reservation(self, reservation_id: str, request: dict[str, Any]) -> CyclesResponse:
        async with self._turn:
            return await self._client.commit_reservation(reservation_id, request)

    async def create_event(self, request: dict[str, Any]) -> CyclesResponse:
        async with self._turn:
            return await self._client.create_event(request)


def _is_readable(path: Path) -> bool:
    try:
        PendingCommitRecord.from_json(path.read_bytes().decode())
    except (OSError, ValueError):
        return False
    return True
