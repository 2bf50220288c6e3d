"""Many clients at once never get more than there is."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
import pytest

from .server import App, Server, conserved


async def race(app: App, url: str, amounts: list[int]) -> Counter[int]:
    """One client an amount, all at once; gives how often each status came back."""
    limits = httpx.Limits(max_connections=len(amounts), max_keepalive_connections=len(amounts))
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, headers=app.headers) as http:

        async def client(number: int, amount: int) -> int:
            body: dict[str, Any] = {"idempotency_key": f"race-{number}"} | app.request("estimate", amount)
            return (await http.post("/v1/reservations", json=body)).status_code

        return Counter(await asyncio.gather(*(client(*each) for each in enumerate(amounts))))


def run_race(server: Server, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeatable, not to be secret
    price = chance.randint(1, 10**9)
    app = App(server, 50 * price + chance.randrange(price))
    assert asyncio.run(race(app, server.url, [price] * 200)) == {200: 50, 409: 150}
    assert app.balance()["reserved"] == 50 * price
    conserved(server.control("GET", "snapshot"))


@pytest.mark.parametrize("seed", range(3))
def test_of_200_clients_racing_for_50_calls_50_hold(server: Server, seed: int) -> None:
    run_race(server, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_of_200_clients_racing_for_50_calls_50_hold_always(server: Server, seed: int) -> None:
    run_race(server, seed)


def test_clients_racing_with_one_key_share_one_hold(server: Server, app: App) -> None:
    async def same() -> set[str]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, headers=app.headers) as http:
            body = {"idempotency_key": "same"} | app.request("estimate", 100)
            answers = await asyncio.gather(*(http.post("/v1/reservations", json=body) for _ in range(30)))
            return {answer.json()["reservation_id"] for answer in answers}

    assert len(asyncio.run(same())) == 1
    assert app.balance()["reserved"] == 100
