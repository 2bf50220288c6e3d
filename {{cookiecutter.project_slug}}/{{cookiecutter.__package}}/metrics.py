"""What Prometheus may scrape. Counters live as long as the process; gauges are read when asked for."""

import hmac
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import SecretStr

from .problems import Problem

if TYPE_CHECKING:  # the guard counts here
    from .services import Services

CALLS = Counter("llm_calls", "Guarded calls by outcome", ["route", "outcome"], registry=None)
CHARGED = Counter("budget_charged_microcents", "Spend that ledgers took", registry=None)


class _State(Collector):
    def __init__(self, services: "Services") -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        services = self._services
        backlog = services.journal.backlog()
        yield CounterMetricFamily("budget_uncharged_microcents", "Spend not taken", services.clients.uncharged)
        yield CounterMetricFamily("cycles_upstream_calls", "HTTP calls to Cycles", services.clients.calls)
        yield CounterMetricFamily("budget_unguarded_calls", "Calls served unguarded", services.fail_open.served)
        yield GaugeMetricFamily("cycles_breaker_open", "1: out of reach", int(services.clients.breaker.is_open))
        yield GaugeMetricFamily("cycles_journal_backlog", "Commits waiting", backlog.count)
        unreadable = len(services.journal.unreadable())
        yield GaugeMetricFamily("cycles_journal_unreadable", "Records that need somebody to look", unreadable)
        yield GaugeMetricFamily("cycles_journal_oldest_seconds", "Age of the oldest of them", backlog.oldest_s)


def check_token(token: SecretStr | None, authorization: str) -> None:
    """Raises Problem: not_found where there is no METRICS_TOKEN, unauthenticated unless the header bears it."""
    if not token:
        raise Problem("not_found")
    expected = f"Bearer {token.get_secret_value()}".encode()
    if not hmac.compare_digest(authorization.encode(), expected):
        raise Problem("unauthenticated", challenge="Bearer")


def exposition(services: "Services") -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    for collector in (CALLS, CHARGED, _State(services)):
        registry.register(collector)
    return generate_latest(registry)
