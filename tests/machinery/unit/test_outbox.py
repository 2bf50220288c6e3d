"""The outbox: what is written down, who may read it, when it is sent, and what is set aside."""

import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget.fail_open import FailOpen
from {{ cookiecutter.__package }}.budget.outbox import FILE, LEASE_S, Outbox, Settlement
from {{ cookiecutter.__package }}.core.sqlite_file import ERRORS


def settlement(key: str, tenant: str = "acme", kind: Literal["commit", "event"] = "event") -> Settlement:
    body = {"idempotency_key": key, "actual": {"unit": "USD_MICROCENTS", "amount": 5}}
    return Settlement(tenant=tenant, body=body, kind=kind, reservation_id="r-1" if kind == "commit" else None)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(outbox_for(tmp_path, "http://cycles")) as ours:
        yield ours


def outbox_for(folder: Path, server: str) -> Outbox:
    return Outbox(folder / "journal", server, lambda attempts: 100.0 * 2**attempts)


def pass_seconds(outbox: Outbox, seconds: float) -> None:
    outbox.file.connect().execute(f"UPDATE settlements SET not_before = not_before - {seconds}")  # noqa: S608  (a number)


def keys(claimed: list[Settlement]) -> list[str]:
    return [each.name for each in claimed]


def test_only_the_owner_can_read_the_outbox(outbox: Outbox, tmp_path: Path) -> None:
    outbox.add(settlement("a"))
    folder = tmp_path / "journal"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    private = (FILE, f"{FILE}-wal", f"{FILE}-shm", "outbox.lock")
    assert modes == {"journal": 0o700, **dict.fromkeys(private, 0o600)}


def test_settlement_belongs_to_one_worker_until_its_lease_ends(outbox: Outbox, tmp_path: Path) -> None:
    outbox.add(settlement("a"))
    outbox.add(settlement("b"), due_now=True)
    with closing(outbox_for(tmp_path, "http://cycles")) as other_worker:
        assert keys(other_worker.claim("acme", 5)) == ["b"], "a is on its way"
        other_worker.wake()
        assert (outbox.due_tenants(), outbox.claim("acme", 5)) == ([], []), "a starting worker leaves them alone"
        pass_seconds(outbox, LEASE_S)
        (first,) = outbox.claim("acme", 1)
        assert keys(other_worker.claim("acme", 5)) == ["b"]
        assert [each.delete(first) for each in (other_worker, outbox)] == [True, False], "counted once"


def test_lease_ends_after_four_seconds(outbox: Outbox) -> None:
    outbox.add(settlement("a"))
    for _ in range(2):
        pass_seconds(outbox, 3.5)
        assert outbox.claim("acme", 5) == []
        pass_seconds(outbox, 0.5)
        assert keys(outbox.claim("acme", 5)) == ["a"]


def test_wake_makes_postponed_settlements_due(outbox: Outbox) -> None:
    outbox.add(settlement("a"))
    outbox.add(failed := settlement("b"))
    outbox.postpone(failed)
    assert outbox.claim("acme", 5) == []
    outbox.wake()
    assert keys(outbox.claim("acme", 5)) == ["b"]


def test_settlements_for_another_server_are_left_alone(outbox: Outbox, tmp_path: Path) -> None:
    with closing(outbox_for(tmp_path, "http://other")) as other_server:
        other_server.add(settlement("a"), due_now=True)
        outbox.wake()
        assert (outbox.due_tenants(), outbox.claim("acme", 5)) == ([], [])
        assert keys(other_server.claim("acme", 5)) == ["a"]


def test_retry_waits_for_its_delay_or_as_long_as_cycles_asks(outbox: Outbox) -> None:
    outbox.add(settlement("a"), due_now=True)
    (claimed,) = outbox.claim("acme", 5)
    for asked, delays in ((7.0, (100, 7)), (0.0, (200, 0)), (10.0**9, (400, 3_600))):
        postponed_at = time.time()
        outbox.postpone(claimed, asked)
        (times,) = outbox.file.connect().execute("SELECT next_try_at, not_before FROM settlements")
        assert [each - postponed_at for each in times] == pytest.approx(delays, abs=3)
    outbox.wake()
    assert outbox.claim("acme", 5) == [], "Cycles has asked to wait"


def test_backlog_counts_settlements_that_are_two_seconds_old(outbox: Outbox) -> None:
    outbox.add(settlement("a"))
    assert (outbox.backlog().count, outbox.backlog().set_aside) == (0, 0)
    outbox.file.connect().execute("UPDATE settlements SET created_at = created_at - 2")
    assert outbox.backlog().count == 1
    assert 2 <= outbox.backlog().oldest_s < 60


@pytest.mark.parametrize(
    ("kind", "days", "is_sent"),
    [("commit", 29.9, True), ("commit", 30, False), ("event", 6.9, True), ("event", 7, False)],
)
def test_settlement_older_than_the_memory_of_cycles_is_set_aside(
    outbox: Outbox, kind: Literal["commit", "event"], days: float, *, is_sent: bool
) -> None:
    old = settlement("a", kind=kind)
    outbox.add(old, due_now=True)
    old.created_at -= days * 86_400
    outbox.save(old)
    assert bool(outbox.claim("acme", 5)) == is_sent
    assert outbox.backlog().set_aside == (not is_sent)


def test_unreadable_settlement_is_set_aside_and_the_others_are_sent(outbox: Outbox) -> None:
    unreadable = settlement("a")
    for each in (unreadable, settlement("b")):
        outbox.add(each, due_now=True)
    outbox.file.run("UPDATE settlements SET settlement = '{' WHERE id = :id", id=unreadable.id)
    with capture_logs() as logs:
        assert keys(outbox.claim("acme", 5)) == ["b"]
    assert [(each["event"], each["row"]) for each in logs] == [("settlement set aside: it is not sent", unreadable.id)]
    assert outbox.backlog().set_aside == 1


@pytest.mark.parametrize("fault", ["no database", "damaged"])
def test_file_that_cannot_be_used_is_set_aside_whole_and_a_new_one_begun(
    outbox: Outbox, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "journal" / FILE
    outbox.add(settlement("a"))
    outbox.close()
    content = file.read_bytes()
    file.write_bytes(b"{" * 8192 if fault == "no database" else content[:4096] + b"\xff" * len(content[4096:]))
    content = file.read_bytes()
    with capture_logs() as logs:
        outbox.check()
    told = "file not readable: set aside"
    assert [(each["event"], each["log_level"]) for each in logs] == [(told, "error")]
    (kept,) = file.parent.glob(f"{FILE}.*.corrupt")
    assert kept.read_bytes() == content
    assert outbox.backlog().set_aside == 1
    outbox.add(settlement("b"), due_now=True)
    assert keys(outbox.claim("acme", 5)) == ["b"]


def test_settlement_that_cannot_be_written_is_kept_and_written_later(outbox: Outbox, tmp_path: Path) -> None:
    outbox.check()
    in_its_way = tmp_path / "journal" / FILE
    outbox.close()
    in_its_way.rename(tmp_path / "elsewhere")
    in_its_way.mkdir()
    outbox.add(settlement("a"), due_now=True)
    outbox.add(delivered := settlement("b"))
    assert (outbox.backlog().count, outbox.claim("acme", 5)) == (2, [])
    assert outbox.delete(delivered)
    with pytest.raises(ERRORS):
        outbox.check()
    in_its_way.rmdir()
    outbox.flush()
    assert outbox.due_tenants() == ["acme"]
    assert keys(outbox.claim("acme", 5)) == ["a"]
    assert outbox.backlog().count == 0


def test_large_write_ahead_log_is_moved_into_the_file(outbox: Outbox, tmp_path: Path) -> None:
    log = tmp_path / "journal" / f"{FILE}-wal"
    for number in range(5):
        each = settlement(str(number))
        each.body["metadata"] = {"padding": "x" * 2**20}
        outbox.add(each)
    file = tmp_path / "journal" / FILE
    before = file.stat().st_size
    assert log.stat().st_size > 4 * 2**20
    outbox.file.checkpoint()
    assert file.stat().st_size > before + 4 * 2**20


def test_fail_open_limit_holds_over_all_workers_of_a_machine(outbox: Outbox, tmp_path: Path) -> None:
    with closing(outbox_for(tmp_path, "http://cycles")) as other_worker:
        workers = [FailOpen(100, each.file) for each in (outbox, other_worker)]
        taken = [worker.admit("acme", 30) for _ in range(2) for worker in workers]
        assert [each is not None for each in taken] == [True, True, True, False]
        assert workers[1].admit("globex", 100) is not None, "each tenant has its own"
        assert taken[0] is not None
        workers[1].give_back("acme", taken[0], 20)
        assert workers[0].admit("acme", 30) == taken[0]
        workers[1].outage_is_over("acme")
        next_outage = workers[0].admit("acme", 100)
        assert next_outage not in (None, taken[0])
        workers[1].give_back("acme", taken[0], 30)
        assert workers[1].admit("acme", 1) is None, "an earlier outage gives nothing back"
        assert FailOpen(None, outbox.file).admit("acme", 1) is None


def test_call_that_cost_more_than_sqlite_can_count_ends_the_allowance(outbox: Outbox) -> None:
    fail_open = FailOpen(100, outbox.file)
    taken = fail_open.admit("acme", 1)
    assert taken is not None
    fail_open.give_back("acme", taken, -(10**40))
    assert fail_open.admit("acme", 1) is None
