"""Where the SDK stands in the way: each workaround names the behaviour of runcycles 0.5.3 that it answers.

`tests/unit/test_sdk.py` fails when a newer SDK no longer needs one of them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from runcycles import AsyncStreamReservation, journal, retry


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


def allow_replay(folder: Path) -> None:
    """Let the SDK replay a journal folder again: by itself it does so once per process."""
    retry._replayed_dirs.discard(folder)  # noqa: SLF001


def when_given_up(reservation: AsyncStreamReservation, tell: Callable[[], None]) -> None:
    """Call `tell` when nothing extends the hold any more (refused, or settled): by itself the SDK only logs it."""
    heartbeat = reservation._heartbeat_task  # noqa: SLF001
    if heartbeat is not None:
        heartbeat.add_done_callback(lambda _: tell())
