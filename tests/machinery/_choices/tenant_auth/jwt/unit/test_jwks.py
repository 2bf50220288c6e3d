"""The issuer's keys, read from a stand-in of it over HTTP; time is a number that the tests move."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.jwks import LIFE_S, MAX_BYTES, REFRESH_EVERY_S, RETRY_EVERY_S, Jwks

from ..listening import Quiet, listening

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(kid: str, **members: Any) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": kid, **members}


class Issuer:
    """Publishes `keys` at `/` while `status` is 200; counts who asks. `/elsewhere` redirects to `/`."""

    def __init__(self) -> None:
        self.keys = [public("one")]
        self.status = 200
        self.asked = 0
        self.url = ""
        self.padding = b""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()

    class Answer(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            self.send_response(302 if self.path == "/elsewhere" else issuer.status)
            self.send_header("Location", "/")
            self.end_headers()
            if self.path != "/elsewhere":
                self.wfile.write(json.dumps({"keys": issuer.keys}).encode() + issuer.padding)

    with listening(Answer) as server:
        issuer.url = f"{server}/"
        yield issuer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tell(issuer: Issuer, story: Callable[[Jwks, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        await story(Jwks(issuer.url, clock), clock)

    asyncio.run(run())


async def is_known(jwks: Jwks, kid: str | None) -> bool:
    try:
        await jwks.find(kid, "RS256")
    except jwt.PyJWTError:
        return False
    return True


def test_many_who_come_first_ask_the_issuer_once(issuer: Issuer) -> None:
    async def story(jwks: Jwks, _: Clock) -> None:
        assert all(await asyncio.gather(*(is_known(jwks, "one") for _ in range(20))))
        assert issuer.asked == 1

    tell(issuer, story)


def test_one_who_waits_may_leave_without_harm_to_the_others(issuer: Issuer) -> None:
    async def story(jwks: Jwks, _: Clock) -> None:
        first, second = (asyncio.create_task(is_known(jwks, "one")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        assert issuer.asked == 1

    tell(issuer, story)


def test_a_new_key_is_read_when_a_token_names_it_but_not_more_than_once_a_minute(issuer: Issuer) -> None:
    async def story(jwks: Jwks, clock: Clock) -> None:
        assert await is_known(jwks, "one")
        issuer.keys = [public("one"), public("two")]
        assert not await is_known(jwks, "two")
        clock.now += REFRESH_EVERY_S
        assert await is_known(jwks, "two")
        assert issuer.asked == 2
        for number in range(10):
            assert not await is_known(jwks, f"guess {number}")
        assert issuer.asked == 2

    tell(issuer, story)


def test_a_key_that_the_issuer_withdraws_is_refused_in_the_end(issuer: Issuer) -> None:
    async def story(jwks: Jwks, clock: Clock) -> None:
        assert await is_known(jwks, "one")
        issuer.keys = [public("two")]
        assert await is_known(jwks, "one")
        clock.now += LIFE_S
        assert not await is_known(jwks, "one")

    tell(issuer, story)


@pytest.mark.parametrize("broken", [{"status": 500}, {"keys": []}, {"keys": "none"}, {"url": "http://127.0.0.1:1/"}])
def test_while_the_issuer_fails_the_known_keys_stay(issuer: Issuer, broken: dict[str, Any]) -> None:
    async def story(jwks: Jwks, clock: Clock) -> None:
        assert await is_known(jwks, "one")
        vars(issuer).update(broken)
        clock.now += LIFE_S
        assert await is_known(jwks, "one")
        assert not await is_known(jwks, "two")

    tell(issuer, story)


def test_while_no_key_was_ever_read_nobody_can_be_judged_and_it_is_tried_again_soon(issuer: Issuer) -> None:
    async def story(jwks: Jwks, clock: Clock) -> None:
        issuer.status = 500
        for _ in range(3):
            with pytest.raises(Problem) as problem:
                await jwks.find("one", "RS256")
            assert problem.value.code == "identity_unavailable"
        assert issuer.asked == 1
        issuer.status = 200
        clock.now += RETRY_EVERY_S
        assert await is_known(jwks, "one")

    tell(issuer, story)


def test_a_redirect_of_the_issuer_is_not_followed(issuer: Issuer) -> None:
    issuer.url += "elsewhere"

    async def story(jwks: Jwks, _: Clock) -> None:
        with pytest.raises(Problem, match="identity_unavailable"):
            await jwks.find("one", "RS256")
        assert issuer.asked == 1

    tell(issuer, story)


def test_an_endless_answer_of_the_issuer_is_not_read_to_its_end(issuer: Issuer) -> None:
    issuer.padding = b" " * (MAX_BYTES + 1)

    async def story(jwks: Jwks, _: Clock) -> None:
        with pytest.raises(Problem, match="identity_unavailable"):
            await jwks.find("one", "RS256")

    tell(issuer, story)


def test_a_key_that_names_its_algorithm_serves_no_other(issuer: Issuer) -> None:
    issuer.keys = [public("one", alg="PS256")]

    async def story(jwks: Jwks, _: Clock) -> None:
        assert await jwks.find("one", "PS256")
        with pytest.raises(jwt.PyJWTError):
            await jwks.find("one", "RS256")

    tell(issuer, story)


def test_only_public_keys_for_signatures_are_used(issuer: Issuer) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    issuer.keys = [
        public("good"),
        public("for encryption", use="enc"),
        {**RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True), "kid": "private"},
        {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "a curve"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared secret"},
        {"kty": "of the future", "kid": "unknown"},
        {**public("x"), "kid": None},
    ]

    async def story(jwks: Jwks, _: Clock) -> None:
        names = ["good", "for encryption", "private", "a curve", "shared secret", "unknown", None]
        assert [name for name in names if await is_known(jwks, name)] == ["good", "a curve"]

    tell(issuer, story)


def test_keys_that_were_read_in_one_event_loop_serve_the_next(issuer: Issuer) -> None:
    jwks = Jwks(issuer.url)
    for _ in range(2):
        assert asyncio.run(jwks.find("one", "RS256"))
    assert issuer.asked == 1
