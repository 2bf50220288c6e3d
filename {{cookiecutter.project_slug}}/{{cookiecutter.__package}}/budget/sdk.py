"""Where the SDK stands in the way: each workaround names the behaviour of runcycles 0.5.3 that it answers.

`tests/unit/test_sdk.py` fails when a newer SDK no longer needs one of them.
"""

import hashlib
import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runcycles import AsyncStreamReservation, journal, retry
from runcycles.journal import CommitJournal, PendingCommitRecord


def journal_folder(base_url: str, tenant: str) -> str:
    """The folder, below CYCLES_JOURNAL_DIR, of one tenant's commits on one Cycles server."""
    return f"{tenant}-{hashlib.sha256(base_url.encode()).hexdigest()[:12]}"


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


# For each record the SDK makes both folders and sets their permissions anew, by pathlib: a fifth to a quarter of what a
# call costs us. The same file is written here by the few system calls that it takes; all else is left to the SDK.
sdk_record, sdk_discard = CommitJournal.record, CommitJournal.discard
_numbers = itertools.count()


def _file_of(directory: Path, reservation_id: str) -> str:
    return f"{directory}/{journal._safe_filename(reservation_id)}"  # noqa: SLF001


def _record(self: CommitJournal, entry: PendingCommitRecord) -> None:
    """As the SDK's: written beside and renamed, so that nobody reads half of it. Raises nothing."""
    path = _file_of(self.directory, entry.reservation_id)
    beside = f"{path}.{os.getpid()}.{next(_numbers)}.tmp"
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(entry.to_json().encode())
        os.replace(beside, path)  # noqa: PTH105
    except OSError:  # no folder yet, or no way to write: the SDK makes it, or says so
        with suppress(OSError):
            os.unlink(beside)  # noqa: PTH108
        sdk_record(self, entry)


def _discard(self: CommitJournal, reservation_id: str) -> None:
    try:
        os.unlink(_file_of(self.directory, reservation_id))  # noqa: PTH108
    except OSError:
        sdk_discard(self, reservation_id)


CommitJournal.record, CommitJournal.discard = _record, _discard  # type: ignore[method-assign]


def allow_replay(folder: Path) -> None:
    """Let the SDK replay a journal folder again: by itself it does so once per process."""
    retry._replayed_dirs.discard(folder)  # noqa: SLF001


def when_given_up(reservation: AsyncStreamReservation, tell: Callable[[], None]) -> None:
    """Call `tell` when nothing extends the hold any more (refused, or settled): by itself the SDK only logs it."""
    heartbeat = reservation._heartbeat_task  # noqa: SLF001
    if heartbeat is not None:
        heartbeat.add_done_callback(lambda _: tell())
