"""Prometheus metrics. No label is unbounded: tenants, models and paths are in the log and the record of calls.

`serve` sets PROMETHEUS_MULTIPROC_DIR if there are several workers; each worker then reports for all of them.
"""

import hmac
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from pydantic import SecretStr

from .problems import Problem

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")

OURS = CollectorRegistry()
REQUESTS = Counter("http_requests", "Responses by status", ["status"], registry=OURS)
CALLS = Counter("llm_calls", "Guarded calls by outcome", ["route", "outcome"], registry=OURS)
DENIALS = Counter("budget_denials", "Calls refused by preflight or hold", ["reason"], registry=OURS)
CHARGED = Counter("budget_charged_microcents", "Charged to ledgers", registry=OURS)
UNCHARGED = Counter("budget_uncharged_microcents", "Spend that no ledger could take", registry=OURS)
CROSSINGS = Counter("budget_thresholds_crossed", "Budget thresholds crossed", ["per_cent"], registry=OURS)
UNGUARDED = Counter("budget_unguarded_calls", "Calls served while Cycles was unreachable", registry=OURS)
HELD = Gauge("budget_held_microcents", "Held by calls in progress", registry=OURS, multiprocess_mode="livesum")
SETTLE = Histogram("budget_settle_seconds", "From the end of a call until it is settled", registry=OURS)
UPSTREAM = Counter("cycles_upstream_calls", "HTTP calls to Cycles", registry=OURS)
BACKLOG = Gauge("cycles_journal_backlog", "Settlements waiting", registry=OURS, multiprocess_mode="mostrecent")
OLDEST = Gauge("cycles_journal_oldest_seconds", "Age of the oldest one", registry=OURS, multiprocess_mode="mostrecent")
SET_ASIDE = Gauge("cycles_journal_unreadable", "Settlements set aside", registry=OURS, multiprocess_mode="mostrecent")
BREAKER = Gauge("cycles_breaker_open", "1 while Cycles is unreachable", registry=OURS, multiprocess_mode="livemax")
HOUSEKEEPING = Gauge("housekeeping_success_timestamp_seconds", "Last success", registry=OURS, multiprocess_mode="max")


class AllWorkers(Collector):
    """Sums the files of all workers. The library's own collector fails on a file that a worker has just created."""

    def collect(self) -> Iterator[Metric]:
        files = [str(path) for path in Path(FOLDER or "").glob("*.db") if path.exists() and path.stat().st_size]
        yield from MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]


def check_token(tokens: Sequence[SecretStr], authorization: str) -> None:
    """Raise Problem: not_found without METRICS_TOKEN, unauthenticated unless the header bears one of `tokens`."""
    if not tokens:
        raise Problem("not_found")
    expected = [f"Bearer {token.get_secret_value()}".encode() for token in tokens]
    if not any(hmac.compare_digest(authorization.encode(), each) for each in expected):
        problem = Problem("unauthenticated")
        problem.challenge = "Bearer"
        raise problem


def forget_killed_workers() -> None:
    """Remove the gauges of workers that were killed: they hold nothing any more."""
    for path in Path(FOLDER).glob("gauge_live*_*.db") if FOLDER and os.name == "posix" else ():
        worker = int(path.stem.rpartition("_")[2])
        try:
            os.kill(worker, 0)
        except (ProcessLookupError, PermissionError):  # gone, or another user's process has its ID
            mark_process_dead(worker)  # type: ignore[no-untyped-call]


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(AllWorkers() if FOLDER else OURS)
