"""The workarounds of budget/sdk.py: each test says when its workaround can go."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from runcycles import AsyncStreamReservation, CyclesConfig, journal
from runcycles.journal import CommitJournal, PendingCommitRecord
from runcycles.retry import AsyncCommitRetryEngine, _claim_replay

from {{ cookiecutter.__package }}.budget import sdk


def test_the_sdk_still_derives_a_journal_name_by_a_slow_function(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    slow = hashlib.pbkdf2_hmac

    def counted(*arguments: Any) -> bytes:
        rounds.append(arguments[3])
        return slow(*arguments)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted)
    sdk.sdk_fingerprint("http://cycles.test", "key", "a tenant never seen")
    assert sum(rounds) > 1000, "the SDK has a cheap journal identity now: drop _fingerprint from budget/sdk.py"


def test_an_engine_of_the_sdk_writes_into_the_folder_named_by_tenant(tmp_path: Path) -> None:
    config = CyclesConfig("http://cycles.test", "key", tenant="acme-2", journal_dir=str(tmp_path))
    AsyncCommitRetryEngine(config).persist_pending("r-1", {"idempotency_key": "k"})
    (folder,) = tmp_path.iterdir()
    assert folder.name == sdk.journal_folder("http://cycles.test", "acme-2") == "acme-2-b90d49071305"
    assert sdk.tenant_of_folder("http://cycles.test", folder.name) == "acme-2"
    assert sdk.tenant_of_folder("http://other.test", folder.name) is None
    nameless = journal.auth_fingerprint("http://cycles.test", "key")
    assert nameless == sdk.sdk_fingerprint("http://cycles.test", "key")


def test_the_sdk_still_replays_a_folder_once_per_process_only(tmp_path: Path) -> None:
    assert _claim_replay(tmp_path)
    assert not _claim_replay(tmp_path), "the SDK replays again by itself now: drop allow_replay from budget/sdk.py"
    sdk.allow_replay(tmp_path)
    assert _claim_replay(tmp_path)


def test_a_journalled_commit_is_replayed_again_once_it_is_allowed(tmp_path: Path) -> None:
    async def replay() -> list[str]:
        replayed: list[str] = []

        class Client:
            async def commit_reservation(self, reservation_id: str, _: object) -> None:
                replayed.append(reservation_id)
                raise OSError("out of reach")

        for _ in range(2):
            config = CyclesConfig("http://cycles.test", "key", tenant="acme", journal_dir=str(tmp_path))
            config.retry_max_attempts, config.retry_initial_delay = 1, 0.0
            sdk.allow_replay(tmp_path / sdk.journal_folder("http://cycles.test", "acme"))
            engine = AsyncCommitRetryEngine(config)
            engine.set_client(Client())
            await engine.flush(5)
        return replayed

    folder = CommitJournal(tmp_path / sdk.journal_folder("http://cycles.test", "acme"))
    folder.record(PendingCommitRecord("r-1", "http://cycles.test", commit_body={"idempotency_key": "k"}))
    assert asyncio.run(replay()) == ["r-1", "r-1"]


ENTRY = PendingCommitRecord(
    "r-1/\u00fc", "http://cycles.test", commit_body={"idempotency_key": "k"}, event_fallback_body={"metadata": {}}
)


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(encoding="utf-8"), path.stat().st_mode) for path in folder.iterdir()}


def test_a_record_is_the_file_that_the_sdk_would_write_and_discard(tmp_path: Path) -> None:
    theirs, ours = CommitJournal(tmp_path / "theirs"), CommitJournal(tmp_path / "ours")
    for _ in range(2):  # the second time over what is there, in a folder that is there
        sdk.sdk_record(theirs, ENTRY)
        ours.record(ENTRY)
        assert contents(ours.directory) == contents(theirs.directory)
    assert ours.directory.stat().st_mode == theirs.directory.stat().st_mode
    assert ours.load_pending(ENTRY.base_url) == theirs.load_pending(ENTRY.base_url) == [ENTRY]
    sdk.sdk_discard(ours, ENTRY.reservation_id)
    theirs.discard(ENTRY.reservation_id)
    assert contents(ours.directory) == contents(theirs.directory) == {}
    ours.discard(ENTRY.reservation_id)


def test_in_a_folder_that_is_there_the_sdks_slow_ways_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_ = CommitJournal(tmp_path)
    for slow in ("sdk_record", "sdk_discard"):
        monkeypatch.setattr(sdk, slow, lambda *_: pytest.fail("by the SDK"))
    for _ in range(2):
        journal_.record(ENTRY)
    assert len(contents(tmp_path)) == 1
    journal_.discard(ENTRY.reservation_id)
    assert not contents(tmp_path)


def test_a_record_of_an_earlier_sdk_is_discarded_too(tmp_path: Path) -> None:
    journal_ = CommitJournal(tmp_path)
    journal_.record(PendingCommitRecord("r-1", "http://cycles.test", commit_body={}))
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / "r-1.json")
    journal_.discard("r-1")
    assert contents(tmp_path) == {}


def test_the_sdk_still_makes_its_journals_folders_anew_for_each_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_, made = CommitJournal(tmp_path), []
    monkeypatch.setattr(Path, "mkdir", lambda path, *_, **__: made.append(path))
    sdk.sdk_record(journal_, ENTRY)
    assert made == [tmp_path], "the SDK writes its journal with less now: is _record in budget/sdk.py still quicker?"


@pytest.mark.parametrize("broken", ["open", "replace"])
def test_a_record_that_cannot_be_written_is_told_in_the_log_and_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    journal_ = CommitJournal(tmp_path)
    monkeypatch.setattr(os, broken, full)
    monkeypatch.setattr(Path, "write_text", full)
    journal_.record(ENTRY)
    assert contents(tmp_path) == {}
    assert "Failed to journal pending commit" in caplog.text


def test_the_sdk_still_keeps_to_itself_that_it_has_given_up_a_hold() -> None:
    told = {name for name in vars(AsyncStreamReservation) if not name.startswith("_")}
    known = {"usage", "reservation_id", "caps", "decision", "settlement_error", "release_error"}
    assert told == known, "the SDK tells more of a hold now: can when_given_up go from budget/sdk.py?"
