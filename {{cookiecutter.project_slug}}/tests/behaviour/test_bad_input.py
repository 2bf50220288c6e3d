"""Invalid requests: each gets its documented refusal, and nothing is held or charged."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ..running import ACME, GLOBEX, HTTP, App, Emulator
from .test_refusals import CHAT, HELLO, assert_problem

JSON = {"Content-Type": "application/json"}
LARGE = b'{"prompt": "' + b"x" * 1_100_000 + b'"}'

NOT_JSON = {
    "nothing": b"",
    "cut short": b"{",
    "more than one document": b'{"prompt": "x"} {}',
    "a comment": b'{"prompt": "x"} //',
    "a comma too many": b'{"prompt": "x",}',
    "no text": b"\xff\xfe",
    "another encoding": '{"prompt": "\u00e4"}'.encode("latin-1"),
    "a lone surrogate": b'{"prompt": "\\ud800"}',
    "a lone surrogate, raw": b'{"prompt": "\xed\xa0\x80"}',
    "a lone surrogate in a name": b'{"prompt": "x", "\\ud800": 1}',
    "a raw NUL": b'{"prompt": "a\x00b"}',
    "a raw newline": b'{"prompt": "a\nb"}',
    "not a number": b'{"prompt": "x", "max_tokens": NaN}',
    "infinity": b'{"prompt": "x", "max_tokens": Infinity}',
    "a number without end": b'{"prompt": "x", "max_tokens": ' + b"9" * 5000 + b"}",
    "a float without end": b'{"prompt": "x", "max_tokens": 1e400}',
    "lists without end": b"[" * 100_000,
    "depth": b'{"prompt": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "compressed": b"\x1f\x8b\x08\x00",
}
WRONG: dict[str, Any] = {
    "neither prompt nor messages": {},
    "both": {"prompt": "a", "messages": [{"role": "user", "content": "b"}]},
    "a list": [HELLO],
    "null": None,
    "an empty prompt": {"prompt": ""},
    "a number for a text": {"prompt": 5},
    "too many characters": {"prompt": "x" * 100_001},
    "too many together": {"messages": [{"role": "user", "content": "x" * 60_000}] * 2},
    "no message": {"messages": []},
    "too many messages": {"messages": [{"role": "user", "content": "x"}] * 1_001},
    "nothing in any message": {"messages": [{"role": "user", "content": ""}] * 2},
    "an unknown role": {"messages": [{"role": "root", "content": "b"}]},
    "an unknown member": {**HELLO, "tenant": GLOBEX},
    "an unknown member of a message": {"messages": [{"role": "user", "content": "b", "name": "x"}]},
    "no token": {**HELLO, "max_tokens": 0},
    "more tokens than allowed": {**HELLO, "max_tokens": 1_000_000},
    "more tokens than 64 bits": {**HELLO, "max_tokens": 2**63},
    "a number as text": {**HELLO, "max_tokens": "5"},
    "a fraction": {**HELLO, "max_tokens": 1.5},
    "true for a number": {**HELLO, "max_tokens": True},
    "a number for true": {**HELLO, "stream": 1},
    "a name with NUL": {**HELLO, "end_user": "\0"},
    "a name with a newline at its end": {**HELLO, "end_user": "a\n"},
    "a name that is too long": {**HELLO, "end_user": "u" * 257},
    "bad, and a stream": {**HELLO, "stream": True, "max_tokens": 0},
}
NOT_FOUND = """
    /api /api/ /api/nothing /api/chat/ /API/CHAT /api//chat //api/chat /api/./chat /api/chat%2f /api/chat%00
    /api/budget /api/budget/ /api/budget/me/ /api/budget/.. /api/budget/../me /api/budget/%2e%2e /api/budget/a%2fb
    /api/budget/%00 /api/budget/acme%00 /api/budget/%ff /api/budget/% /api/budget/acme%20x /api/budget/%C3%A4
    /api/budget/ACME /api/budget/me;x=1 /dashboard/../api/budget/me /%2e%2e/etc/passwd /nothing *
"""
NO_HOST = """
    evil.example 127.0.0.1@evil.example evil.example:127.0.0.1 127.0.0.1:evil 127.0.0.1,evil 127.0.0.1. [::1
"""


@pytest.fixture(autouse=True)
def _nothing_is_held_or_charged(emulator: Emulator, installed: App) -> Iterator[None]:
    assert ACME in installed.tenants
    before = emulator.ledger(ACME)
    yield
    assert emulator.ledger(ACME) == before


def status_and_code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def raw(app: App, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return the answer to bytes that no client would send: status, headers, body."""
    address = urlsplit(app.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def lines(app: App, headers: dict[str, str]) -> bytes:
    sent = {"Host": urlsplit(app.url).netloc, **headers}
    return "".join(f"{name}: {value}\r\n" for name, value in sent.items()).encode()


def test_invalid_json_is_422(api: httpx.Client, acme: dict[str, str]) -> None:
    answers = {name: api.post(CHAT, content=body, headers={**acme, **JSON}) for name, body in NOT_JSON.items()}
    for answer in answers.values():
        assert_problem(answer, 422, "invalid_request")
    assert answers["cut short"].json()["detail"] == "The body is not JSON."


def test_json_that_breaks_the_schema_is_422(api: httpx.Client, acme: dict[str, str]) -> None:
    answers = {name: api.post(CHAT, content=json.dumps(body), headers={**acme, **JSON}) for name, body in WRONG.items()}
    refused = {name: status_and_code(answer) for name, answer in answers.items()}
    assert refused == dict.fromkeys(WRONG, (422, "invalid_request"))


def test_a_model_that_is_not_allowed_is_422(api: httpx.Client, acme: dict[str, str]) -> None:
    problem = assert_problem(api.post(CHAT, json={**HELLO, "model": "gpt-0"}, headers=acme), 422, "unknown_model")
    assert problem["detail"].startswith("Available models: ")


def test_two_tenant_headers_are_422(api: httpx.Client, acme: dict[str, str]) -> None:
    headers = [*acme.items(), ("X-Tenant-ID", ACME), ("X-Tenant-ID", ACME)]
    assert_problem(api.post(CHAT, json=HELLO, headers=headers), 422, "invalid_request")


def test_a_malformed_tenant_header_is_refused(api: httpx.Client, acme: dict[str, str]) -> None:
    for name in (f"{ACME} x", f"{ACME},{ACME}", f"../{ACME}", "a" * 129, "\u00e4", ""):
        claim = [*httpx.Headers(acme).raw, (b"X-Tenant-ID", name.encode("latin-1"))]
        answer = api.post(CHAT, json=HELLO, headers=claim)
        assert answer.status_code in (403, 422), name  # two, where the identity is itself an X-Tenant-ID


def test_a_body_that_is_not_json_is_415(api: httpx.Client, acme: dict[str, str]) -> None:
    kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "json", ""]
    sent = [[("Content-Type", kind)] for kind in kinds]
    sent += [[], [("Content-Type", "application/json"), ("Content-Type", "text/plain")]]
    for headers in sent:
        answer = api.post(CHAT, content=json.dumps(HELLO), headers=[*acme.items(), *headers])
        assert_problem(answer, 415, "unsupported_media_type")


def test_a_body_over_one_mebibyte_is_413_for_every_route_and_caller(api: httpx.Client, acme: dict[str, str]) -> None:
    for path in (CHAT, "/api/summarize", "/api/nothing", "/dashboard/login", "/healthz"):
        for identity in (acme, {"Authorization": "Bearer nonsense"}, {}):
            assert_problem(api.post(path, content=LARGE, headers={**identity, **JSON}), 413, "too_large")


def test_a_body_without_a_length_is_read_only_for_known_callers(api: httpx.Client, acme: dict[str, str]) -> None:
    for path in (CHAT, "/api/summarize"):
        assert_problem(api.post(path, content=iter([LARGE]), headers={**acme, **JSON}), 413, "too_large")
        assert_problem(api.post(path, content=iter([LARGE]), headers=JSON), 401, "unauthenticated")


def test_an_unknown_path_is_404_however_it_is_written(api: httpx.Client, acme: dict[str, str]) -> None:
    for path in (*NOT_FOUND.split(), f"/api/budget/{'a' * 129}"):
        answer = api.get("/", headers=acme, extensions={"target": path.encode()})
        assert_problem(answer, 404, "not_found")


def test_a_wrong_method_is_405(api: httpx.Client, acme: dict[str, str]) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
        answer = api.request(method, CHAT, headers={**acme, **JSON})
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST"), method
    for page in ("/", "/dashboard/", f"/dashboard/tenants/{ACME}", "/healthz", "/readyz", "/metrics", "/api/budget/me"):
        assert_problem(api.post(page), 405, "method_not_allowed")
    assert_problem(api.put("/dashboard/login"), 405, "method_not_allowed")


def test_an_unknown_host_is_400(app: App) -> None:
    for host in NO_HOST.split():
        status, _, body = raw(app, b"GET /dashboard/login HTTP/1.1\r\n" + lines(app, {"Host": host}) + b"\r\n")
        assert (status, json.loads(body)["code"]) == (400, "invalid_host"), host
    two = lines(app, {}) + b"Host: evil.example\r\n"
    for hosts in (two, b"Host: evil.example\r\n" + lines(app, {}), b""):
        assert raw(app, b"GET /dashboard/login HTTP/1.0\r\n" + hosts + b"\r\n")[0] == 400


def test_an_ambiguous_body_length_is_400(app: App, acme: dict[str, str]) -> None:
    content = json.dumps(HELLO).encode()
    lengths = [
        b"Content-Length: -5\r\n",
        b"Content-Length: abc\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ]
    for length in lengths:
        request = f"POST {CHAT} HTTP/1.1\r\n".encode() + lines(app, {**acme, **JSON}) + length + b"\r\n" + content
        assert raw(app, request)[0] == 400, length


def test_clients_that_wait_for_100_continue_are_refused_like_others(app: App) -> None:
    headers = lines(app, {**JSON, "Expect": "100-continue", "Content-Length": "18"})
    status, _, body = raw(app, f"POST {CHAT} HTTP/1.1\r\n".encode() + headers + b"\r\n" + b'{"prompt":"Hello"}')
    assert (status, json.loads(body)["code"]) == (401, "unauthenticated")


def test_every_answer_has_security_headers(api: httpx.Client, acme: dict[str, str]) -> None:
    for path in ("/", "/healthz", "/nothing", "/dashboard/login", "/static/dashboard.css", "/api/budget/me"):
        headers = api.get(path, headers=acme).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers
    assert api.get("/api/budget/me", headers=acme).headers["Cache-Control"] == "no-store"


def test_only_allowed_origins_may_call_from_a_browser(installed: App) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-tenant-id"}
    with installed.serving(CORS_ALLOW_ORIGINS="https://shop.example") as serving:
        allowed, other = (
            HTTP.options(f"{serving.url}{CHAT}", headers={**asked, "Origin": origin}).headers
            for origin in ("https://shop.example", "https://evil.example")
        )
        refused = HTTP.get(f"{serving.url}/api/budget/me", headers={"Origin": "https://shop.example"})
    assert allowed["Access-Control-Allow-Origin"] == "https://shop.example"
    assert {"authorization", "content-type", "x-tenant-id"} <= names(allowed["Access-Control-Allow-Headers"])
    assert names(allowed["Access-Control-Allow-Methods"]) == {"get", "post"}
    assert allowed["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Origin" not in other
    assert "Access-Control-Allow-Credentials" not in allowed
    assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert {"x-request-id", "retry-after"} <= names(refused.headers["Access-Control-Expose-Headers"])


def test_guessing_credentials_is_limited_per_address(app: App, api: httpx.Client) -> None:
    nonsense = {"Authorization": "Bearer nonsense"}

    def guess(forwarded_for: str) -> httpx.Response:
        return api.get("/api/budget/me", headers={**nonsense, "X-Forwarded-For": forwarded_for})

    assert {guess("203.0.113.7").status_code for _ in range(200)} == {401}
    # what the guesser writes in front of the address that the proxy has added changes nothing
    assert_problem([guess(f"198.51.100.{n}, 203.0.113.7") for n in range(60)][-1], 429, "too_many_attempts")
    assert guess("203.0.113.8").status_code == 401
    same_address = {**app.tenants[ACME]["headers"], "X-Forwarded-For": "203.0.113.7"}
    assert api.get("/api/budget/me", headers=same_address).status_code == 200


def names(listed: str) -> set[str]:
    return {name.strip().lower() for name in listed.split(",")}
