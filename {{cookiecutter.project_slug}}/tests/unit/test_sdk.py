"""The workarounds of budget/sdk.py: each test says when its workaround can go."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runcycles import AsyncStreamReservation, CyclesConfig, journal
from runcycles.journal import CommitJournal, PendingCommitRecord
from runcycles.retry import AsyncCommitRetryEngine

from {{ cookiecutter.__package }}.budget import sdk
from {{ cookiecutter.__package }}.budget.live import PAGE, Commit, Live


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


def test_the_sdk_still_replays_a_folder_by_itself_and_once_per_process_only(tmp_path: Path) -> None:
    assert sdk.sdk_claim_replay(tmp_path)
    assert not sdk.sdk_claim_replay(tmp_path), "the SDK replays again by itself now: can allow_replay go?"


def test_a_folder_is_replayed_by_the_next_engine_after_it_was_allowed_and_by_no_other(tmp_path: Path) -> None:
    assert not sdk.claim_replay(tmp_path)
    sdk.allow_replay(tmp_path / "another")
    for _ in range(2):
        sdk.allow_replay(tmp_path)
        assert sdk.claim_replay(tmp_path)
        assert not sdk.claim_replay(tmp_path)
    assert sdk.claim_replay(tmp_path / "another")


def test_the_sdk_still_waits_with_a_whole_folder_for_a_record_that_was_told_to_wait(tmp_path: Path) -> None:
    base_url = "http://cycles.test"
    folder = tmp_path / sdk.journal_folder(base_url, "acme")
    later = int(time.time() * 1000) + 60_000
    CommitJournal(folder).record(PendingCommitRecord("r", base_url, "event", None, {"a": 1}, not_before_ms=later))
    config = CyclesConfig(base_url, "key", tenant="acme", journal_dir=str(tmp_path))

    async def replayed_by(make: type[AsyncCommitRetryEngine]) -> int:
        sdk.allow_replay(folder)
        engine = make(config)
        engine._client = object()  # noqa: SLF001
        return len(engine._load_replay_entries())  # noqa: SLF001

    assert asyncio.run(replayed_by(AsyncCommitRetryEngine)) == 1, "it does not: can ReplayEngine go?"
    assert asyncio.run(replayed_by(sdk.ReplayEngine)) == 0


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


FOLDER = "acme-1"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """What keeps commits on their way, of the process that uses the journal in `tmp_path`."""
    kept = Live(tmp_path)
    kept.change(0, 0)
    sdk.live_in[str(tmp_path)] = kept
    yield kept
    kept.close()
    del sdk.live_in[str(tmp_path)]


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(encoding="utf-8"), path.stat().st_mode) for path in folder.glob("*")}


def test_the_first_try_of_a_commit_makes_no_file_of_its_own(tmp_path: Path, live: Live) -> None:
    journal_ = CommitJournal(tmp_path / FOLDER)
    journal_.record(ENTRY)
    assert live.kept_for(0.0) == [Commit(FOLDER, ENTRY)]
    journal_.discard(ENTRY.reservation_id)
    assert live.kept_for(0.0) == []
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


@pytest.mark.parametrize(
    "entry",
    [ENTRY, replace(ENTRY, mode="event"), replace(ENTRY, not_before_ms=1)],
    ids=["tried again", "as an event", "told to wait"],
)
def test_what_is_tried_again_is_the_file_that_the_sdk_would_write_and_discard(
    tmp_path: Path, live: Live, entry: PendingCommitRecord
) -> None:
    theirs, ours = CommitJournal(tmp_path / "theirs"), CommitJournal(tmp_path / FOLDER)
    sdk.sdk_record(theirs, entry)
    for each in (ENTRY, entry):
        ours.record(each)
    assert contents(ours.directory) == contents(theirs.directory) != {}
    assert live.kept_for(0.0) == []
    ours.discard(entry.reservation_id)
    assert contents(ours.directory) == {}


@pytest.mark.parametrize("again", [{"mode": "event"}, {"not_before_ms": 1}], ids=["as an event", "told to wait"])
def test_what_was_found_in_the_sdks_journal_goes_back_there(tmp_path: Path, live: Live, again: dict[str, Any]) -> None:
    journal_ = CommitJournal(tmp_path / FOLDER)
    journal_.record(replace(ENTRY, **again))
    assert (live.kept_for(0.0), len(contents(journal_.directory))) == ([], 1)


def test_without_a_file_of_the_process_it_is_all_the_sdks(tmp_path: Path) -> None:
    journal_ = CommitJournal(tmp_path)
    journal_.record(ENTRY)
    assert journal_.load_pending(ENTRY.base_url) == [ENTRY]
    journal_.discard(ENTRY.reservation_id)
    assert contents(tmp_path) == {}


def test_what_is_too_long_to_be_kept_is_journalled_by_the_sdk(tmp_path: Path, live: Live) -> None:
    journal_, long = CommitJournal(tmp_path / FOLDER), replace(ENTRY, commit_body={"note": "n" * PAGE})
    journal_.record(long)
    assert (live.kept_for(0.0), len(contents(journal_.directory))) == ([], 1)
    journal_.discard(long.reservation_id)
    assert contents(journal_.directory) == {}


def test_what_the_sdk_cannot_write_down_is_kept_on(
    tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    journal_ = CommitJournal(tmp_path / FOLDER)
    monkeypatch.setattr(Path, "write_text", full)
    for _ in range(2):
        journal_.record(ENTRY)
    assert live.kept_for(0.0) == [Commit(FOLDER, ENTRY)]
    assert "Failed to journal pending commit" in caplog.text


def test_a_record_of_an_earlier_sdk_is_discarded_too(tmp_path: Path) -> None:
    journal_ = CommitJournal(tmp_path)
    journal_.record(PendingCommitRecord("r-1", "http://cycles.test", commit_body={}))
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / "r-1.json")
    journal_.discard("r-1")
    assert contents(tmp_path) == {}


def test_the_sdk_still_writes_a_file_for_each_commit(tmp_path: Path) -> None:
    sdk.sdk_record(CommitJournal(tmp_path), ENTRY)
    assert len(contents(tmp_path)) == 1, "the SDK journals otherwise now: are budget/live.py's pages still needed?"


def test_the_sdk_still_keeps_to_itself_that_it_has_given_up_a_hold() -> None:
    told = {name for name in vars(AsyncStreamReservation) if not name.startswith("_")}
    known = {"usage", "reservation_id", "caps", "decision", "settlement_error", "release_error"}
    assert told == known, "the SDK tells more of a hold now: can when_given_up go from budget/sdk.py?"
