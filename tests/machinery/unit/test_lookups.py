import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants import lookups
from {{ cookiecutter.__package }}.tenants.lookups import Found, Lookups, admit
from {{ cookiecutter.__package }}.tenants.records import Status, Tenant

from .embedded import until


def found(status: Status = "active") -> Found:
    now = datetime.now(UTC)
    return Found(Tenant(id="acme", name="Acme", status=status, budget=1, cycles_key_name="x", created_at=now))


def tell(story: Callable[[Lookups, list[str]], Awaitable[None]], version: Callable[[], str] = str) -> None:
    """Run `story` with look-ups that find `acme` alone, and the list of the names that were asked for."""

    async def run() -> None:
        asked: list[str] = []

        async def ask(name: str) -> Found | None:
            asked.append(name)
            await asyncio.sleep(0)
            return found() if name == "acme" else None

        async def registry_version() -> str:
            return version()

        await story(Lookups(ask, registry_version), asked)

    asyncio.run(run())


def test_many_who_ask_at_once_and_soon_after_are_one_question() -> None:
    async def story(known: Lookups, asked: list[str]) -> None:
        assert all(await asyncio.gather(*(known.find("acme") for _ in range(20))))
        assert await known.find("acme")
        assert await known.find("nobody") is None
        assert await known.find("nobody") is None
        assert asked == ["acme", "nobody"]

    tell(story)


def test_what_is_known_is_asked_again_only_when_the_registry_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_LIFE_S", 0.0)
    versions = ["first"]

    async def story(known: Lookups, asked: list[str]) -> None:
        for version, times in (("first", 1), ("first", 1), ("second", 2), ("second", 2)):
            versions[:] = [version]
            assert await known.find("acme")
            assert len(asked) == times

    tell(story, lambda: versions[0])


def test_an_answer_that_may_be_older_than_a_change_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_LIFE_S", 0.0)
    versions = ["first"]

    async def story(known: Lookups, asked: list[str]) -> None:
        early = asyncio.create_task(known.find("acme"))
        await until(lambda: asked)
        versions[:] = ["second"]
        assert await known.find("acme")
        assert await early
        assert await known.find("acme")
        assert asked == ["acme"] * 2

    tell(story, lambda: versions[0])


def test_guessed_names_do_not_push_out_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_LIFE_S", 60.0)  # longer than all this takes

    async def story(known: Lookups, asked: list[str]) -> None:
        await known.find("acme")
        for number in range(1_100):
            await known.find(f"guess-{number}")
        await known.find("acme")
        assert asked.count("acme") == 1

    tell(story)


def test_one_who_waits_may_leave_without_harm_to_the_others() -> None:
    async def story(known: Lookups, _: list[str]) -> None:
        first, second = (asyncio.create_task(known.find("acme")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first

    tell(story)


@pytest.mark.parametrize("name", ["\0", "\ud800", "\u00e4cme", "a\nb", "x" * 129])
def test_what_can_be_no_name_is_not_asked_for(name: str) -> None:
    async def story(known: Lookups, asked: list[str]) -> None:
        assert await known.find(name) is None
        assert asked == []

    tell(story)


@pytest.mark.parametrize(
    ("who", "claim", "code"),
    [
        pytest.param(None, b"globex", "unauthenticated", id="unknown"),
        pytest.param(found("closed"), b"globex", "unauthenticated", id="closed"),
        pytest.param(found("suspended"), b"globex", "tenant_mismatch", id="under another name"),
        pytest.param(found("suspended"), b"acme", "tenant_suspended", id="suspended"),
    ],
)
def test_who_is_not_served_is_refused(who: Found | None, claim: bytes, code: str) -> None:
    with pytest.raises(Problem) as problem:
        admit(who, [(b"x-tenant-id", claim)])
    assert problem.value.code == code


def test_an_active_tenant_is_admitted() -> None:
    assert admit(found(), []).tenant.id == "acme"
