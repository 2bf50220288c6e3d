"""Adds a month of history to the data of `make dev`: eight tenants, a state each, with their calls and ledgers.

Ledgers change by requests to Cycles, calls are rows of the app's own record; both add up to the microcent. All of it
follows from the time of the first run, so a run that was interrupted is completed by the next.
"""

import asyncio
import json
import math
import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import dev_store
from {{ cookiecutter.__package }}.budget.client import Clients
from {{ cookiecutter.__package }}.budget.prices import Prices
from {{ cookiecutter.__package }}.budget.subject import subject_of
from {{ cookiecutter.__package }}.calls.models import Call
from {{ cookiecutter.__package }}.calls.thresholds import save_balances
from {{ cookiecutter.__package }}.cli.budgets import set_budget
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.money import MICROCENTS_PER_USD, UNIT, format_usd, parse_usd
from {{ cookiecutter.__package }}.dashboard.models import AuditEntry
from {{ cookiecutter.__package }}.llm.provider import Body, Request, Tokens
from {{ cookiecutter.__package }}.tenants.periods import period_at
from {{ cookiecutter.__package }}.tenants.renewals import renew
from {{ cookiecutter.__package }}.tenants.service import TenantService, tenant_service

RECORD = Path("var/dev/month.json")
HOUR, MONTH = timedelta(hours=1), timedelta(days=31)
ROUTES = {"chat": 6, "v1/chat/completions": 3, "summarize": 2, "agent": 1}
PEOPLE = {None: 5, "maya": 9, "li.wei": 7, "tom": 5, "amira": 4, "j.ortiz": 3, "nadia": 2, "sven": 1}


@dataclass(frozen=True)
class Story:
    """A tenant's month: `used` is the share of budget and `credit` that it has spent, amounts are in USD."""

    id: str
    name: str
    budget: str
    used: float
    overdraft: str = "0.00"
    credit: str = ""
    every: str = "none"
    people: int = 8
    quiet: timedelta = timedelta()
    """How long ago its last call was served."""
    refused: int = 0
    """Calls that were refused since."""
    ends: str = ""
    """The verb of TenantService that ended it."""


STORIES = (
    Story("hooli", "Hooli", "30.00", 0.41, credit="10.00"),
    Story("initech", "Initech", "12.00", 0.86, people=4),
    Story("vandelay", "Vandelay Industries", "8.00", 0.97, people=5),
    Story("umbrella", "Umbrella Labs", "9.00", 0.9999, people=4, quiet=5 * HOUR, refused=110),
    Story("soylent", "Soylent Foods", "6.00", 1.08, "1.00", people=3, quiet=20 * HOUR, refused=70),
    Story("wonka", "Wonka Sweets", "7.00", 0.62, quiet=timedelta(days=5), ends="suspend"),
    Story("stark", "Stark & Sons", "5.00", 0.71, people=3, quiet=timedelta(days=12), ends="close"),
    Story("wayne", "Wayne Logistics", "15.00", 0.64, every="month", people=6),
)


class Month:
    """Writes the calls of one story, in the order of their times."""

    def __init__(self, story: Story, now: datetime, settings: Settings, prices: Prices) -> None:
        self.story, self.now, self.begin, self.end = story, now, now - MONTH, now - story.quiet
        self.credited_at = now - MONTH * 0.4
        self.reset_at = period_at("month", "UTC", now).start if story.every == "month" else self.begin
        self._random = random.Random(story.id)  # noqa: S311
        self._people = [*PEOPLE][: story.people], [*PEOPLE.values()][: story.people]
        self._prices = prices
        self._max_tokens = settings.llm_max_tokens
        self._models = models_of(settings, prices)
        self.calls = list(self._calls())

    def audit(self) -> Iterator[AuditEntry]:
        """Yield what operators did."""
        story = self.story
        done = [(self.begin, f"add {story.budget}"), (self.credited_at, story.credit and f"fund {story.credit}")]
        for at, action in [*done, (self.end + HOUR, story.ends)]:
            if action:
                operator = "cli:olga" if action in (f"add {story.budget}", "close") else "operator"
                columns = {"action": action, "tenant": story.id, "operator": operator, "outcome": "done"}
                yield AuditEntry(id=f"month {story.id} {action}", at=at, **columns)

    def _calls(self) -> Iterator[Call]:
        story, spent = self.story, 0
        budget, credit = parse_usd(story.budget), parse_usd(story.credit or "0")
        for begin, until in ((self.begin, self.reset_at), (self.reset_at, self.end)):
            target = int((budget + credit) * story.used * ((until - begin) / MONTH if story.every != "none" else 1))
            served = [*self._served(target)] if until > begin else []
            paid = bisect([*accumulate(call.cost for call in served)], budget + credit)
            spent, times = 0, self._times(begin, until, paid)
            for number, call in enumerate(served):
                if number >= paid:  # served while Cycles was out of reach
                    times.append(self.end + timedelta(seconds=20 * (number - paid)))
                    call.outcome = "unguarded"
                spent += call.cost
                call.at = times[number]
                call.remaining = budget + (credit if call.at > self.credited_at else 0) - spent
                call.hold = max(call.cost, min(call.hold, budget + credit - spent + call.cost))
                yield call
        yield from self._refused(budget + credit - spent)

    def _refused(self, remaining: int) -> Iterator[Call]:
        columns: dict[str, Any] = {"outcome": "budget_exceeded", "duration_ms": 6, "remaining": remaining}
        if remaining < 0:  # the preflight knows that no call can be paid
            columns |= {"route": "preflight", "model": "", "end_user": None}
        for _ in range(self.story.refused):
            yield self._call(at=self.now - self.story.quiet * self._random.random() ** 2 * 0.95, **columns)
        for hours in () if self.story.quiet else (3, 8, 9, 15, 15.004, 15.007, 203, 203.002, 431):
            code = "limit_exceeded" if hours < 15 else "budget_unavailable"
            yield self._call(at=self.now - hours * HOUR, outcome=code, duration_ms=9)

    def _served(self, target: int) -> Iterator[Call]:
        """Yield calls that cost `target` microcents together, less than the price of one token."""
        spent, dice = 0, self._random
        while True:
            call = self._call()
            tokens = Tokens(int(dice.lognormvariate(8.4, 0.7)), min(int(dice.lognormvariate(6, 0.6)), self._max_tokens))
            if dice.random() < 0.01:
                call.outcome, tokens = "released", Tokens(0, 0)
            cost = self._prices.cost(call.model, tokens)
            if spent + cost > target:
                price = self._prices.cost(call.model, Tokens(1_000, 0))
                tokens = Tokens(int((target - spent) * 1_000 / price), 0)
                cost = self._prices.cost(call.model, tokens)
            call.input_tokens, call.output_tokens, call.cost = tokens.input_tokens, tokens.output_tokens, cost
            request = Request(call.model, (), self._max_tokens, body=Body(most_tokens=4 * tokens.input_tokens))
            call.hold = self._prices.hold_for(request)
            call.duration_ms = 350 + int(tokens.output_tokens * dice.uniform(8, 14))
            spent += cost
            if cost or call.outcome == "released":
                yield call
            if not tokens.output_tokens and call.outcome == "charged":
                return

    def _call(self, **columns: Any) -> Call:
        usual = {
            "id": self._id(),
            "tenant": self.story.id,
            "end_user": self._random.choices(*self._people)[0],
            "route": self._random.choices([*ROUTES], [*ROUTES.values()])[0],
            "model": self._random.choices(self._models, (6, 3, 1)[: len(self._models)])[0],
            "outcome": "charged",
            "reservation_id": None if "outcome" in columns else self._id(),
            "request_id": self._id(),
        }
        return Call(**usual | columns)

    def _id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def _times(self, begin: datetime, end: datetime, count: int) -> list[datetime]:
        """Return times in working hours, fewer on weekends, more towards the end."""
        hours = [begin + HOUR * n for n in range(max(1, (end - begin) // HOUR))]
        chosen = self._random.choices(hours, [weight(hour, self.now) for hour in hours], k=count)
        return sorted(min(hour + HOUR * self._random.random(), end) for hour in chosen)


def weight(hour: datetime, now: datetime) -> float:
    day = random.Random(hour.toordinal()).uniform(0.7, 1.3) * (0.35 if hour.weekday() >= 5 else 1)  # noqa: S311
    return day * (0.15 + math.exp(-(((hour.hour - 14) / 4) ** 2))) * (2 - (now - hour) / MONTH)


def models_of(settings: Settings, prices: Prices) -> list[str]:
    """Return the configured model and others of its vendor, or of any if there are none."""
    families = [settings.llm_model.partition("-")[0], "gpt", "claude"]
    names = [name for family in families for name in prices.models if name.startswith(f"{family}-") and " " not in name]
    return list(dict.fromkeys([settings.llm_model, *names]))[:3]


async def add_tenant(service: TenantService, clients: Clients, month: Month) -> None:
    """Onboard a tenant and bring its ledgers where its calls say. Skips one that was suspended or closed since."""
    story, registry = month.story, service.registry
    if (known := await registry.tenant(story.id)) is None or known.status == "active":
        await service.add(story.id, story.name, story.budget, story.overdraft, story.every)
        await registry.update_tenant(story.id, created_at=month.begin)
        if story.credit:
            await service.adjustments.adjust(
                story.id, "fund", parse_usd(story.credit), "invoice", created_at=month.credited_at
            )
            for person, used in spent_by(month.calls).most_common(2):
                if person:
                    usd = format_usd(-(-used * 10 // (9 * MICROCENTS_PER_USD)) * MICROCENTS_PER_USD)
                    await set_budget(service, story.id, budget=usd, end_user=person)
        await spend(clients, service.settings, story.id, [call for call in month.calls if call.at < month.reset_at])
        if story.every != "none" and (tenant := await registry.tenant(story.id)):
            await renew(service.adjustments, tenant, month.reset_at)
        await spend(clients, service.settings, story.id, [call for call in month.calls if call.at >= month.reset_at])
        if story.ends:
            await getattr(service, story.ends)(story.id)
    await clients.balances.read(story.id, 0.0)


async def spend(clients: Clients, settings: Settings, tenant: str, calls: Sequence[Call]) -> None:
    """Charge what calls cost, by one event for each end user."""
    for person, cost in spent_by(calls).items():
        answer = await (await clients.of(tenant)).create_event(
            {
                "idempotency_key": f"month-{calls[0].id}-{person}",
                "subject": subject_of(settings, tenant, person),
                "action": {"kind": "llm.completion", "name": "month"},
                "actual": {"unit": UNIT, "amount": cost},
                "overage_policy": "ALLOW_WITH_OVERDRAFT",
            }
        )
        if not answer.is_success or answer.get_body_attribute("charged"):
            raise SystemExit(f"{tenant}: Cycles did not charge {cost} microcents: {answer.status} {answer.body}")


def spent_by(calls: Sequence[Call]) -> Counter[str | None]:
    costs: Counter[str | None] = Counter()
    for call in calls:
        costs[call.end_user] += call.cost
    return +costs


async def add_month(now: datetime) -> None:
    settings, prices = Settings(), Prices.load()
    months = [Month(story, now, settings, prices) for story in STORIES]
    async with dev_store.open_stores(settings) as (registry, calls), tenant_service(settings, registry) as service:
        clients = Clients(settings, registry)
        for month in months:
            await add_tenant(service, clients, month)
            for entry in month.audit():
                await registry.save(entry)
        await save_balances(calls, clients.balances.changed())
        await calls.insert([call for month in months for call in month.calls])
        await clients.aclose()


def main() -> None:
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {"begun": datetime.now(UTC).isoformat()}
    if not record.get("done"):
        RECORD.write_text(json.dumps(record), "utf-8")
        asyncio.run(add_month(datetime.fromisoformat(record["begun"])))
        RECORD.write_text(json.dumps(record | {"done": True}), "utf-8")


if __name__ == "__main__":
    main()
