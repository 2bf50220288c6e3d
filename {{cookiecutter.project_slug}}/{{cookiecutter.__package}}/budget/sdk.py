"""Where the SDK stands in the way: each workaround names the behaviour of runcycles 0.5.3 that it answers.

`tests/unit/test_sdk.py` fails when a newer SDK no longer needs one of them.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from runcycles import AsyncStreamReservation, journal, retry
from runcycles.journal import CommitJournal, PendingCommitRecord
from runcycles.retry import AsyncCommitRetryEngine

from .live import Commit, Live


def journal_folder(base_url: str, tenant: str) -> str:
    """The folder, below CYCLES_JOURNAL_DIR, of one tenant's commits on one Cycles server."""
    return f"{tenant}-{_digest_of(base_url)}"


@cache
def _digest_of(base_url: str) -> str:
    return hashlib.sha256(base_url.encode()).hexdigest()[:12]


def tenant_of_folder(base_url: str, name: str) -> str | None:
    """The tenant whose journal lies in folder `name`; None if it belongs to another Cycles server."""
    tenant = name.rpartition("-")[0]
    return tenant if journal_folder(base_url, tenant) == name else None


def _fingerprint(base_url: str, api_key: str, tenant: str | None = None) -> str:
    return journal_folder(base_url, tenant) if tenant else sdk_fingerprint(base_url, api_key)


# The SDK names a tenant's journal by PBKDF2 (11 ms, cached for 256 tenants only), each time a call is guarded. It
# hardens API keys; our folders are named by tenant, which is no secret. A readable name also tells replay whose it is.
sdk_fingerprint = journal.auth_fingerprint
journal.auth_fingerprint = _fingerprint


# The SDK writes a file for each commit before it sends it, and deletes it when it is settled: a fifth to a quarter of
# what a call costs us. What waits for its first answer is kept in this process's own file instead, where there is one;
# what has to be tried again goes into the SDK's journal, as does all that `Journal` takes over from a dead process.
sdk_record, sdk_discard = CommitJournal.record, CommitJournal.discard
live_in: WeakValueDictionary[str, Live] = WeakValueDictionary()
"""By CYCLES_JOURNAL_DIR. Whoever puts one in sees to it that what it keeps is taken over: see `Journal.collect`."""


def journalled(into: CommitJournal, entry: PendingCommitRecord) -> bool:
    """Write it the SDK's way, which raises nothing; whether it is on its disk."""
    sdk_record(into, entry)
    return (into.directory / journal._safe_filename(entry.reservation_id)).exists()  # noqa: SLF001


def _live_of(journal_: CommitJournal) -> tuple[Live | None, str]:
    """What keeps first tries of this journal's commits, if anything does, and the name of the journal's folder."""
    journal_dir, _, folder = str(journal_.directory).rpartition(os.sep)
    return live_in.get(journal_dir), folder


def _record(self: CommitJournal, entry: PendingCommitRecord) -> None:
    live, folder = _live_of(self)
    if live is None:
        sdk_record(self, entry)
        return
    if _is_first_try(entry) and live.keep(Commit(folder, entry)):
        return
    if journalled(self, entry):
        live.drop(folder, entry.reservation_id)


def _discard(self: CommitJournal, reservation_id: str) -> None:
    live, folder = _live_of(self)
    if live is None or not live.drop(folder, reservation_id):
        sdk_discard(self, reservation_id)


def _is_first_try(entry: PendingCommitRecord) -> bool:
    return entry.mode == "commit" and entry.not_before_ms is None


CommitJournal.record, CommitJournal.discard = _record, _discard  # type: ignore[method-assign]


# The SDK replays a folder by itself when it is first used in a process, and never again: `Journal` does that, for all
# folders and as often as it is needed, and a paid call need not ask (17 us, for it hashes a path).
_to_replay: set[Path] = set()


def claim_replay(directory: Path) -> bool:
    """Asked by each engine of the SDK that is made: whether it is to replay this folder."""
    if not _to_replay or directory not in _to_replay:
        return False
    _to_replay.discard(directory)
    return True


sdk_claim_replay, retry._claim_replay = retry._claim_replay, claim_replay  # noqa: SLF001


def allow_replay(folder: Path) -> None:
    """Let the next engine of the SDK that is made for this folder replay it."""
    _to_replay.add(folder)


class ReplayEngine(AsyncCommitRetryEngine):
    """A server may tell a record to wait, an hour at most: the SDK's replay of its folder would not end before that.

    Such a record is left to a later replay.
    """

    def _load_replay_entries(self) -> list[Any]:
        return [pending for pending in super()._load_replay_entries() if pending.retry_after_s is None]


is_given_up = retry._is_recognized_rejection  # noqa: SLF001
"""Whether the SDK drops an event that is refused by this error. What a gateway says in Cycles' place it keeps."""


def when_given_up(reservation: AsyncStreamReservation, tell: Callable[[], None]) -> None:
    """Call `tell` when nothing extends the hold any more (refused, or settled): by itself the SDK only logs it."""
    heartbeat = reservation._heartbeat_task  # noqa: SLF001
    if heartbeat is not None:
        heartbeat.add_done_callback(lambda _: tell())
