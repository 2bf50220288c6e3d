"""Alerts over real receivers, which fail as tests ask them to."""

import asyncio
import random
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from aiohttp import web
from pydantic import SecretStr

from {{ cookiecutter.__package }}.budget.outbox import Settlement
from {{ cookiecutter.__package }}.calls import thresholds
from {{ cookiecutter.__package }}.calls.models import Alert, Call
from {{ cookiecutter.__package }}.calls.thresholds import save_balances
from {{ cookiecutter.__package }}.cli.doctor import report
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants import alerts
from {{ cookiecutter.__package }}.tenants.service import tenant_service
from {{ cookiecutter.__package }}.web import housekeeping
from {{ cookiecutter.__package }}.web.housekeeping import Housekeeping

from .stories import Tell, World
from .test_renewals import Killed, dying
from .test_thresholds import balance
from .workers import booking

SECRET = {"SECRET_KEY": "a-secret-key-that-is-long-enough-0123456789"}
WITH_SECRET = pytest.mark.parametrize("tell", [SECRET], indirect=True)


@dataclass
class Receiver:
    """A webhook. `accepts` decides on each request."""

    url: str
    accepts: Callable[[], bool]
    texts: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [text.rpartition("Alert ")[2] for text in self.texts]


@asynccontextmanager
async def receiving(accepts: Callable[[], bool] = lambda: True) -> AsyncIterator[Receiver]:
    receiver = Receiver("", accepts)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        if not receiver.accepts():
            return web.Response(status=503)
        receiver.texts.append(body["message"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        receiver.url = f"json://127.0.0.1:{server.addresses[0][1]}/secret-path"
        yield receiver
    finally:
        await server.cleanup()


def worker(world: World, *urls: str) -> Housekeeping:
    """One of several workers, with these ALERT_URLS."""
    settings = world.services.settings.model_copy(update={"alert_urls": [SecretStr(url) for url in urls]})
    return Housekeeping(settings, world.services.registry)


def stored(world: World, column: str = "id") -> list[str]:
    path = world.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database:
        return [str(value) for (value,) in database.execute(f"SELECT {column} FROM alerts")]  # noqa: S608


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_a_receiver_that_fails_half_the_time_gets_every_crossing_of_all_workers(tell: Tell) -> None:
    async def story(world: World) -> None:
        dice, store, crossings = random.Random(7), world.services.store, 0  # noqa: S311
        async with receiving(lambda: dice.random() < 0.5) as receiver:
            workers, now = [worker(world, receiver.url) for _ in range(4)], soon()
            for month in range(5):
                for spent in (0, 500, 810, 960, 960, 1_000):
                    at = datetime.now(UTC)
                    await asyncio.gather(*(save_balances(store, [balance(spent, at=at)]) for _ in range(4)))
                crossings += 3
                assert len(stored(world)) == crossings, month
            while "None" in stored(world, "delivered_at"):
                await asyncio.gather(*(each.deliver_alerts(now) for each in workers))
                now += timedelta(minutes=10)
        assert {*receiver.ids} == {*stored(world)}
        assert len(receiver.ids) == len({*receiver.ids}) == 15, "each is sent by one worker until it is accepted"
        first = "acme has used 80% of its budget: $0.0000081 of $0.00001."
        assert sum(text.startswith(first) for text in receiver.texts) == 5

    tell(story)


def test_retries_wait_longer_each_time_and_an_address_that_accepted_gets_no_more(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with receiving() as good, receiving(lambda: False) as bad:
            work, now, refused = worker(world, good.url, bad.url), soon(), count(1)
            bad.accepts = lambda: next(refused) < 0
            await world.services.registry.add_alerts([Alert(id="one", text="Look.")])
            for minute in range(24 * 60):
                await work.deliver_alerts(now + timedelta(minutes=minute))
            assert good.ids == ["one"]
            assert 25 < next(refused) < 35, "after a few tries once an hour"
            bad.accepts = lambda: True
            await work.deliver_alerts(now + timedelta(days=2))
            assert (good.ids, bad.ids) == (["one"], ["one"])

    tell(story)


def test_a_worker_that_is_killed_while_sending_leaves_the_alert_to_another(tell: Tell) -> None:
    async def story(world: World) -> None:
        registry, now = world.services.registry, soon()
        await registry.add_alerts([Alert(id="one", text="Look."), Alert(id="one", text="Again.")])
        async with receiving() as receiver:
            claims = [registry.claim_alerts(now, now + timedelta(minutes=5)) for _ in range(4)]
            claimed = [alert.id for alerts in await asyncio.gather(*claims) for alert in alerts]
            assert claimed == ["one"], "and the workers that came too late get none"
            await worker(world, receiver.url).deliver_alerts(now)
            assert receiver.ids == []
            await worker(world, receiver.url).deliver_alerts(now + timedelta(minutes=6))
            assert receiver.ids == ["one"]

    tell(story)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what the killed one had begun
def test_killed_at_any_line_workers_deliver_every_crossing_and_report_it_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        modules, now, line, survived = (thresholds.__file__, alerts.__file__, housekeeping.__file__), soon(), 0, False
        async with receiving() as receiver:
            while not survived:
                line += 1
                await save_balances(world.services.store, [balance(0)])
                with dying(line, modules):
                    try:
                        await save_balances(world.services.store, [balance(850)])
                        await worker(world, receiver.url).deliver_alerts(now)
                        survived = True
                    except Killed:
                        pass
                await save_balances(world.services.store, [balance(860)])
                now += timedelta(minutes=6)  # the lease of the killed one has ended
                await worker(world, receiver.url).deliver_alerts(now)
                assert len(stored(world)) == line, "one crossing each time"
                assert {*receiver.ids} == {*stored(world)}, line
        assert line > 20

    tell(story)


@WITH_SECRET
def test_a_tenants_own_address_is_encrypted_masked_and_gets_its_crossings_only(tell: Tell) -> None:
    async def story(world: World) -> None:
        registry, settings = world.services.registry, world.services.settings
        async with receiving() as theirs, receiving() as ours, tenant_service(settings, registry) as service:
            await service.update("acme", alert_url=theirs.url)
            tenant = await registry.tenant("acme")
            assert tenant is not None
            assert "secret-path" not in tenant.alert_urls
            listed = await service.list_all()
            assert listed["tenants"][0]["alert_urls"] == "json://***"
            await save_balances(world.services.store, [balance(850)])
            await registry.add_alerts([Alert(id="other", text="Look.")])
            await worker(world, ours.url).deliver_alerts(soon())
            assert sorted(ours.ids) == sorted(stored(world))
            assert [text.partition(":")[0] for text in theirs.ids] == ["threshold"]
            with pytest.raises(Problem, match=re.escape("no-such-kind://*** is not a URL")):
                await service.update("acme", alert_url="no-such-kind://secret")
            await service.update("acme", alert_url="none")
            assert (await service.list_all())["tenants"][0]["alert_urls"] is None

    tell(story)


def test_what_goes_wrong_is_an_alert_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        services, now = world.services, datetime.now(UTC)
        await services.store.insert([Call(tenant="acme", route="chat", outcome="charged", uncharged=250_000_000)])
        await services.registry.update_tenant("acme", cycles_key_expires_at=now + timedelta(days=29))
        old = replace(booking(services.settings, "late"), created_at=now.timestamp() - 700)
        services.outbox.add(old)
        world.cycles.fault("unauthorized", "any", times=1_000)
        for minute in (0, 1):
            await services.housekeeping.find_alerts(now + timedelta(minutes=minute))
        kinds = sorted(name.partition(":")[0] for name in stored(world))
        assert kinds == ["backlog", "cycles-unreachable", "key-expires", "uncharged"]
        assert any(text.startswith("Spend of $2.50 in the last 24 hours") for text in stored(world, "text"))
        assert isinstance(old, Settlement)

    tell(story)


def test_delivered_alerts_are_deleted_after_90_days(tell: Tell) -> None:
    async def story(world: World) -> None:
        work, now = worker(world), soon()
        await world.services.registry.add_alerts([Alert(id="one", text="Look.")])
        await work.deliver_alerts(now)
        assert stored(world, "delivered_at") != ["None"], "there is no address: the log has it"
        await work.deliver_alerts(now + timedelta(days=89))
        assert stored(world) == ["one"]
        await work.deliver_alerts(now + timedelta(days=91))
        assert stored(world) == []

    tell(story)


def test_the_last_success_is_known_to_other_processes(tell: Tell) -> None:
    async def story(world: World) -> None:
        without_admin = Housekeeping(
            world.services.settings.model_copy(update={"cycles_admin_api_key": None}), world.services.registry
        )
        now = soon()
        assert await without_admin.once(now) == []
        assert without_admin.last_success is None
        assert await world.services.housekeeping.once(now) == []
        await without_admin.once(now + timedelta(hours=1))
        assert without_admin.last_success == now

    tell(story)


def test_doctor_sends_a_test_alert_to_each_address(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with receiving() as good, receiving(lambda: False) as bad:
            settings = world.services.settings.model_copy(
                update={"alert_urls": [SecretStr(good.url), SecretStr(bad.url)]}
            )
            async with tenant_service(settings, world.services.registry) as service:
                answer = await report(service, send_test_alert=True)
        levels = [check["level"] for check in answer["checks"] if check["check"] == "alerts"]
        assert levels == ["ok", "fault"]
        assert good.texts == ["This is a test alert of doctor."]
        assert "secret-path" not in str(answer)

    tell(story)
