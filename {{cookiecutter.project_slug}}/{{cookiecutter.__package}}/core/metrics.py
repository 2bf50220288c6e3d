"""What Prometheus may scrape. No label is unbounded: tenants, models and paths are in the log and the record of calls.

With several workers prometheus_client shares the figures by files in PROMETHEUS_MULTIPROC_DIR, which `serve` makes:
whichever worker is asked tells of all.
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

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

OURS = CollectorRegistry()
REQUESTS = Counter("http_requests", "Answers by status", ["status"], registry=OURS)
CALLS = Counter("llm_calls", "Guarded calls by outcome", ["route", "outcome"], registry=OURS)
DENIALS = Counter("budget_denials", "Calls refused by the budget, before or by the hold", ["reason"], registry=OURS)
CHARGED = Counter("budget_charged_microcents", "Spend that ledgers took", registry=OURS)
UNCHARGED = Counter("budget_uncharged_microcents", "Spend that no ledger took", registry=OURS)
CROSSINGS = Counter("budget_thresholds_crossed", "Budgets of which so much was used", ["per_cent"], registry=OURS)
UNGUARDED = Counter("budget_unguarded_calls", "Calls served while Cycles was out of reach", registry=OURS)
HELD = Gauge("budget_held_microcents", "Holds that live", registry=OURS, multiprocess_mode="livesum")
SETTLE = Histogram("budget_settle_seconds", "From a call's end until it is settled", registry=OURS)
UPSTREAM = Counter("cycles_upstream_calls", "HTTP calls to Cycles", registry=OURS)
BREAKER = Gauge("cycles_breaker_open", "1: out of reach", registry=OURS, multiprocess_mode="livemax")


class _AllWorkers(Collector):
    """As prometheus_client's own (0.26), which fails while a worker begins its file: that is empty for a moment."""

    def collect(self) -> Iterator[Metric]:
        files = [str(path) for path in Path(os.environ[FOLDER]).glob("*.db") if _is_begun(path)]
        yield from MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]


def _is_begun(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a killed worker, and taken back this moment
        return False


def check_token(tokens: Sequence[SecretStr], authorization: str) -> None:
    """Raises Problem: not_found where there is no METRICS_TOKEN, unauthenticated unless the header bears one."""
    if not tokens:
        raise Problem("not_found")
    expected = [f"Bearer {token.get_secret_value()}".encode() for token in tokens]
    if not any(hmac.compare_digest(authorization.encode(), each) for each in expected):
        raise Problem("unauthenticated", challenge="Bearer")


def forget_the_killed() -> None:
    """Take back the gauges of workers that were killed: nothing is held by them any more."""
    folder = os.environ.get(FOLDER)
    for path in Path(folder).glob("gauge_live*_*.db") if folder and os.name == "posix" else ():
        worker = int(path.stem.rpartition("_")[2])
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            mark_process_dead(worker)  # type: ignore[no-untyped-call]


def exposition(more: Collector) -> bytes:
    """All metrics in Prometheus' text format, and those of `more`."""
    registry = CollectorRegistry()
    registry.register(more)
    if FOLDER in os.environ:
        registry.register(_AllWorkers())
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(OURS)
