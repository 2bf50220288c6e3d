"""What the real servers answered (runtime 0.1.25.59, admin 0.1.25.55): so answers the emulator, a test a scenario.

In the live suite it is asked of what stands at CYCLES_BASE_URL and CYCLES_ADMIN_URL: what differs there is told.

A step is one call with the status, body and headers of the answer. `${T}` and `${U}` are tenants made afresh; `save`
binds a value of an answer to a name. `<uuid>`, `<ms>`, `<ttl>`, `<time>`, `<id>`, `<key>`, `<secret>` and `<any>` stand
for values that differ from run to run; all else must be equal, absent members included. Pauses move the clock.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..live import LIVE, TAG
from ..running import ADDED, ADMIN_KEY, TLS, Emulator, run_emulator

UNORDERED = {"balances", "reservations"}
PLACEHOLDERS = {
    "<uuid>": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?",
    "<id>": r"[0-9a-f-]{32,36}",
    "<key>": r"key_[0-9a-f-]{16}",
    "<secret>": r"\S+",
}


def scenarios() -> Iterator[Any]:
    for file in sorted(Path(__file__).parent.glob("*.json")):
        for scenario in json.loads(file.read_text()):
            yield pytest.param(scenario["steps"], id=f"{file.stem}: {scenario['name']}")


def bound(value: Any, names: dict[str, str]) -> Any:
    """`value` with every `${NAME}` in its strings replaced, at any depth."""
    text = json.dumps(value)
    for name, given in names.items():
        text = text.replace("${" + name + "}", json.dumps(given)[1:-1])
    return json.loads(text)


def differences(expected: Any, actual: Any, where: str = "body") -> Iterator[str]:
    """Where `actual` is not what was recorded, one line each."""
    match expected, actual:
        case ("<any>", _):
            pass
        case ("<ms>", int()) if actual > 1_500_000_000_000:
            pass
        case ("<ttl>", int()) if actual > 0:
            pass
        case (str(), str()):
            pattern = re.escape(expected)
            for placeholder, form in PLACEHOLDERS.items():
                pattern = pattern.replace(placeholder, form)
            if not re.fullmatch(pattern, actual):
                yield f"{where}: {actual!r} instead of {expected!r}"
        case (dict(), dict()):
            yield from (f"{where}.{name}: missing" for name in expected.keys() - actual.keys())
            yield from (f"{where}.{name}: not in the real answer" for name in actual.keys() - expected.keys())
            for name in expected.keys() & actual.keys():
                given = actual[name]
                if name in UNORDERED and isinstance(given, list):
                    given = in_order_of(expected[name], given)
                yield from differences(expected[name], given, f"{where}.{name}")
        case (list(), list()) if len(expected) == len(actual):
            for number, (wanted, given) in enumerate(zip(expected, actual, strict=True)):
                yield from differences(wanted, given, f"{where}[{number}]")
        case _ if expected != actual or type(expected) is not type(actual):
            yield f"{where}: {actual!r} instead of {expected!r}"


def in_order_of(expected: list[Any], actual: list[Any]) -> list[Any]:
    """`actual` with what matches an expected item in that item's place, as far as possible."""
    left, ordered = [*actual], []
    for wanted in expected:
        found = next((item for item in left if not any(differences(wanted, item))), None)
        if found is not None:
            left.remove(found)
            ordered.append(found)
    return ordered + left


@pytest.fixture(scope="module")
def cycles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator whose clock no other test goes by, or what stands there."""
    if LIVE:
        yield request.getfixturevalue("emulator")
        return
    with run_emulator(tmp_path_factory.mktemp("recordings")) as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30, verify=TLS) as client:
        yield client


def pause(cycles: Emulator, ms: int) -> None:
    if LIVE:
        time.sleep(ms / 1000)
    else:
        cycles.control("clock", {"advance_ms": ms})


@pytest.mark.parametrize("steps", [*scenarios()])
def test_cycles_answers_as_the_real_server_did(
    cycles: Emulator, http: httpx.Client, steps: list[dict[str, Any]]
) -> None:
    tag = uuid.uuid4().hex[:10]
    names = {"T": f"t{tag}{TAG}", "U": f"u{tag}{TAG}", "TAG": tag, "ADMIN": ADMIN_KEY}
    ADDED.update((names["T"], names["U"], names["T"] + "-"))
    for number, step in enumerate(steps, 1):
        if "sleep_ms" in step:
            pause(cycles, step["sleep_ms"])
            continue
        content = json.dumps(bound(step["body"], names)) if "body" in step else step.get("raw")
        headers = bound(step.get("headers", {}), names)
        if content is not None:
            headers = {"Content-Type": "application/json"} | headers
        path = bound(step["path"], names)
        url = (cycles.admin_url if path.startswith("/v1/admin") else cycles.url) + path
        answer = http.request(step["method"], url, content=content, headers=headers)
        body = answer.json() if answer.content else None
        for name, place in step.get("save", {}).items():
            value = body
            for part in place.split("."):
                value = value[int(part)] if isinstance(value, list) else (value or {}).get(part)
            names[name] = str(value)
        # A raw body goes out with its placeholders, so the answer may quote them.
        found = [*differences(bound(step["answer"], names), bound(body, names))]
        for name, value in bound(step["answer_headers"], names).items():
            found += differences(value, answer.headers.get(name), name)
        where = f"step {number} {step['method']} {step['path']}"
        assert answer.status_code == step["status"], f"{where}: {answer.text}"
        assert not found, f"{where}: {found}"
