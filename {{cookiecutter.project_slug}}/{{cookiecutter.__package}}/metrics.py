"""What Prometheus may scrape. No label is unbounded: tenants, models and paths are in the log and the record of calls.

With several workers prometheus_client shares the figures by files in PROMETHEUS_MULTIPROC_DIR, which `serve` makes:
whichever worker is asked tells of all.
"""

import hmac
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from pydantic import SecretStr

from .problems import Problem

if TYPE_CHECKING:  # the guard counts here
    from .services import Services

REQUESTS = Counter("http_requests", "Answers by status", ["status"], registry=None)
CALLS = Counter("llm_calls", "Guarded calls by outcome", ["route", "outcome"], registry=None)
DENIALS = Counter("budget_denials", "Calls refused by the budget, before or by the hold", ["reason"], registry=None)
CHARGED = Counter("budget_charged_microcents", "Spend that ledgers took", registry=None)
UNCHARGED = Counter("budget_uncharged_microcents", "Spend that no ledger took", registry=None)
CROSSINGS = Counter("budget_thresholds_crossed", "Budgets of which so much was used", ["per_cent"], registry=None)
UNGUARDED = Counter("budget_unguarded_calls", "Calls served while Cycles was out of reach", registry=None)
HELD = Gauge("budget_held_microcents", "Holds that live", registry=None, multiprocess_mode="livesum")
SETTLE = Histogram("budget_settle_seconds", "From a call's end until it is settled", registry=None)
UPSTREAM = Counter("cycles_upstream_calls", "HTTP calls to Cycles", registry=None)
BREAKER = Gauge("cycles_breaker_open", "1: out of reach", registry=None, multiprocess_mode="livemax")
OURS = (REQUESTS, CALLS, DENIALS, CHARGED, UNCHARGED, CROSSINGS, UNGUARDED, HELD, SETTLE, UPSTREAM, BREAKER)


class _Journal(Collector):
    """Read when asked for: all workers have the one folder."""

    def __init__(self, services: "Services") -> None:
        self._journal = services.journal

    def collect(self) -> Iterator[Metric]:
        backlog, unreadable = self._journal.backlog(), len(self._journal.unreadable())
        yield GaugeMetricFamily("cycles_journal_backlog", "Commits waiting", backlog.count)
        yield GaugeMetricFamily("cycles_journal_oldest_seconds", "Age of the oldest of them", backlog.oldest_s)
        yield GaugeMetricFamily("cycles_journal_unreadable", "Records that need somebody to look", unreadable)


def check_token(tokens: Sequence[SecretStr], authorization: str) -> None:
    """Raises Problem: not_found where there is no METRICS_TOKEN, unauthenticated unless the header bears one."""
    if not tokens:
        raise Problem("not_found")
    expected = [f"Bearer {token.get_secret_value()}".encode() for token in tokens]
    if not any(hmac.compare_digest(authorization.encode(), each) for each in expected):
        raise Problem("unauthenticated", challenge="Bearer")


def exposition(services: "Services") -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Journal(services))
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        for metric in OURS:
            registry.register(metric)
    return generate_latest(registry)
