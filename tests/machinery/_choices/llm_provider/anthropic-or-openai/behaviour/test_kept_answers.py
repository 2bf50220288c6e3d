"""Which answers of a vendor are kept for a repeated request."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ..running import HTTP, App, Emulator
from ..vendor import Vendor
from ..wire import END, ERROR, finish, settings, start, text, usage
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}


@pytest.fixture(scope="module")
def serving(installed: App, vendor: Vendor) -> Iterator[App]:
    with installed.serving(**settings(vendor.url)) as app:
        yield app


def ask(app: App, tenant: dict[str, Any], body: dict[str, Any], key: str = "key") -> httpx.Response:
    headers = {**tenant["headers"], "Idempotency-Key": key}
    return HTTP.post(f"{app.url}/api/chat", json=body, headers=headers, timeout=60)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_answer_of_more_than_1_mib_is_charged_and_not_kept(
    serving: App, vendor: Vendor, emulator: Emulator, stream: bool
) -> None:
    tenant, body = serving.add_tenant("100.00"), {**HELLO, "stream": stream}
    for size, is_kept in ((900, True), (1_100, False)):
        vendor.plays(start(), *[text("x" * 1024)] * size, finish("stop"), usage(10, 20), END)
        asked = len(vendor.asked)
        first = ask(serving, tenant, body, str(size))
        assert (first.status_code, first.text.count("x" * 1024) > 0) == (200, True)
        again = ask(serving, tenant, body, str(size))
        if is_kept:
            assert again.content == first.content
        else:
            assert_problem(again, 409, "idempotency_not_kept")
        assert len(vendor.asked) == asked + 1
    assert emulator.ledger(tenant["id"])["reserved"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_failure_is_kept_if_it_was_charged_and_asked_again_if_not(
    serving: App, vendor: Vendor, emulator: Emulator, stream: bool
) -> None:
    tenant, body = serving.add_tenant("1.00"), {**HELLO, "stream": stream}
    vendor.plays(start(), text("Hel"), then="breaks off")
    first = ask(serving, tenant, body)
    spent = emulator.ledger(tenant["id"])["spent"]
    assert ("provider_error" in first.text, spent > 0) == (True, True)
    vendor.plays(start(), text("Hello"), finish("stop"), usage(10, 20), END)
    assert ask(serving, tenant, body).content == first.content
    assert emulator.ledger(tenant["id"])["spent"] == spent

    vendor.plays(body=ERROR, status=500)
    assert_problem(ask(serving, tenant, body, "free"), 502, "provider_error")
    vendor.plays(start(), text("Hello"), finish("stop"), usage(10, 20), END)
    assert ask(serving, tenant, body, "free").status_code == 200
