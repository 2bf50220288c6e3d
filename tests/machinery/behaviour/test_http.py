"""HTTP as clients, proxies and attackers speak it, in both frameworks."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ..running import HTTP, App
from .test_refusals import assert_problem

CHAT = "/api/chat"
JSON = {"Content-Type": "application/json"}
SHOP = {"Origin": "https://shop.example"}


def connect(app: App, request: bytes) -> socket.socket:
    address = urlsplit(app.url)
    connection = socket.create_connection((address.hostname or "", address.port or 0), 20)
    connection.sendall(request)
    return connection


def answer_of(connection: socket.socket) -> bytes:
    """Return all that the server sends until it closes the connection."""
    received = b""
    with connection, suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            received += part
    return received


def lines(app: App, **headers: str) -> bytes:
    sent = {"Host": urlsplit(app.url).netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "".join(f"{name}: {value}\r\n" for name, value in sent.items()).encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[' + b"{}," * 349_000 + b"{}]}",
        b'{"messages":[' + b'{"role":"user","content":"x"},' * 1_000 + b'{"role":"user","content":"x"}]}',
        b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}",
        b'{"messages":[{' + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}]}",
        b'{"' + b"x" * 1_000_000 + b'":1}',
    ],
    ids=["empty messages", "1,001 messages", "unknown members", "unknown members of a message", "a long name"],
)
def test_refusals_of_large_bodies_are_short(api: httpx.Client, acme: dict[str, str], body: bytes) -> None:
    answer = api.post(CHAT, content=body, headers={**acme, **JSON})
    problem = assert_problem(answer, 422, "invalid_request")
    assert len(problem["errors"]) <= 20
    assert len(answer.content) < 8_192


def test_a_conversation_of_a_thousand_messages_is_served(api: httpx.Client, acme: dict[str, str]) -> None:
    messages = [{"role": "user", "content": "x"}] * 1_000
    assert api.post(CHAT, json={"messages": messages, "max_tokens": 1}, headers=acme).status_code == 200


@pytest.mark.parametrize("header", [b"X-Large: " + b"a" * 200_000, b"x: y\r\n" * 40_000], ids=["one", "many"])
def test_headers_over_64_kib_are_refused(app: App, header: bytes) -> None:
    with connect(app, b"GET /healthz HTTP/1.1\r\n" + lines(app)) as connection:
        with suppress(ConnectionError):  # refused before all was sent
            connection.sendall(header + b"\r\n\r\n")
        with suppress(ConnectionError):
            assert not connection.recv(65_536).startswith(b"HTTP/1.1 2")


@pytest.fixture(scope="module")
def impatient(installed: App) -> Iterator[App]:
    settings = {"REQUEST_TIMEOUT": "0.5", "CORS_ALLOW_ORIGINS": SHOP["Origin"], "ROOT_PATH": "/chat"}
    with installed.serving(**settings) as serving:
        yield serving


def test_unfinished_headers_are_closed(impatient: App) -> None:
    assert answer_of(connect(impatient, b"")) == b""
    assert answer_of(connect(impatient, b"GET /healthz HTTP/1.1\r\nHost: local")) == b""
    with connect(impatient, b"GET /healthz HTTP/1.1\r\n" + lines(impatient) + b"\r\n") as kept:
        assert kept.recv(65_536).startswith(b"HTTP/1.1 200")
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
        answer_of(kept)  # until the server closes


def test_a_connection_outlives_the_5_s_for_which_clients_reuse_one(app: App) -> None:
    with closing(HTTPConnection(urlsplit(app.url).netloc)) as connection:
        for pause in (5.2, 0):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, b"ok" in answer.read()) == (200, True)
            time.sleep(pause)


@pytest.mark.parametrize("length", ["Content-Length: 900", "Transfer-Encoding: chunked"])
def test_unfinished_bodies_are_closed(impatient: App, acme: dict[str, str], length: str) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\n{length}\r\n".encode() + lines(impatient, **{**acme, **JSON})
    begun = b"1\r\n{\r\n" if "chunked" in length else b"{"
    assert not answer_of(connect(impatient, head + b"\r\n" + begun)).startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("length", ["Content-Length: 900", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", [CHAT, "/api/summarize", "/api/sync/summarize", "/v1/models/x", "/api/nothing"])
def test_no_body_of_a_stranger_is_read(app: App, path: str, length: str) -> None:
    head = f"POST {path} HTTP/1.1\r\n{length}\r\n".encode() + lines(app, **JSON)
    with connect(app, head + b"\r\n") as waiting:
        assert waiting.recv(65_536)[:12] in (b"HTTP/1.1 401", b"HTTP/1.1 404", b"HTTP/1.1 405")


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "large"}], ids=["plain", "with a key"])
def test_large_chunked_bodies_are_refused(app: App, acme: dict[str, str], key: dict[str, str]) -> None:
    chunks = (b" " * 50_000 for _ in range(22))
    answer = HTTP.post(f"{app.url}{CHAT}", content=chunks, headers={**acme, **JSON, **key})
    assert_problem(answer, 413, "too_large")


def test_refusals_carry_cors_headers_whatever_refused(impatient: App, acme: dict[str, str]) -> None:
    url = f"{impatient.url}{CHAT}"
    answers = {
        413: HTTP.post(url, content=b"x" * 1_100_000, headers={**acme, **JSON, **SHOP}),
        401: HTTP.post(url, json={}, headers=SHOP),
        400: HTTP.post(url, json={}, headers={**SHOP, "Host": "evil.example"}),
        404: HTTP.post(f"{impatient.url}/api/nothing", headers=SHOP),
    }
    nonsense = {"Authorization": "Bearer nonsense", "X-Forwarded-For": "203.0.113.77", **SHOP}
    answers[429] = [HTTP.get(f"{impatient.url}/api/budget/me", headers=nonsense) for _ in range(260)][-1]
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP["Origin"], status


@pytest.mark.parametrize(
    ("status", "broken"),
    [
        (503, {"CYCLES_BASE_URL": "http://127.0.0.1:9"}),
        (500, {"TENANT_KEYS_SECRET": "not the key's " * 3, "CYCLES_API_KEY": "unknown"}),
    ],
)
def test_failures_carry_cors_headers(installed: App, acme: dict[str, str], status: int, broken: dict[str, str]) -> None:
    with installed.serving(CORS_ALLOW_ORIGINS=SHOP["Origin"], **broken) as app:
        answer = HTTP.post(f"{app.url}{CHAT}", json={"prompt": "Hello"}, headers={**acme, **SHOP})
    assert answer.status_code == status, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP["Origin"]


def test_browsers_may_send_trace_context_and_idempotency_keys(impatient: App) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key,traceparent"}
    answer = HTTP.options(f"{impatient.url}{CHAT}", headers={**SHOP, **asked})
    assert answer.status_code == 200
    assert {"idempotency-key", "traceparent"} <= set(
        answer.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    )


def test_browsers_may_send_what_the_providers_sdks_send(impatient: App) -> None:
    sent = ["authorization", "content-type", "user-agent", "x-api-key", "anthropic-version"]
    sent += ["anthropic-dangerous-direct-browser-access", *(f"x-stainless-{end}" for end in ("lang", "retry-count"))]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(sent)}
    answer = HTTP.options(f"{impatient.url}/v1/models", headers={**SHOP, **asked})
    assert answer.status_code == 200, answer.text


def test_every_get_route_answers_head(app: App, api: httpx.Client, acme: dict[str, str]) -> None:
    token = {"Authorization": f"Bearer {app.environment['METRICS_TOKEN']}"}
    for path in ("/healthz", "/readyz", "/metrics", "/dashboard/login", "/openapi.json", "/static/dashboard.css", "/"):
        headers = token if path == "/metrics" else {}
        got, head = api.get(path, headers=headers), api.head(path, headers=headers)
        assert (head.status_code, head.content) == (got.status_code, b""), path
    head = api.head("/api/budget/me", headers=acme)
    assert (head.status_code, head.headers["Content-Type"]) == (200, "application/json")


def test_http_1_0_gets_no_chunks(app: App, acme: dict[str, str]) -> None:
    content = json.dumps({"prompt": "Hello", "stream": True}).encode()
    stream = f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(content)}\r\n".encode() + lines(app, **{**acme, **JSON})
    for request in (stream + b"\r\n" + content, b"GET /healthz HTTP/1.0\r\n\r\n"):
        answer = answer_of(connect(app, request)).lower()
        assert b" 200 " in answer.partition(b"\r\n")[0]
        assert b"transfer-encoding" not in answer
    assert "Content-Length" in HTTP.get(f"{app.url}/healthz").headers
    assert "Content-Length" in HTTP.get(f"{app.url}/api/budget/me", headers=acme).headers


def test_load_balancers_ask_by_address(api: httpx.Client) -> None:
    for path in ("/healthz", "/readyz"):
        assert api.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200
    assert api.get("/dashboard/login", headers={"Host": "10.1.2.3:8000"}).status_code == 400


def test_who_is_not_known_is_not_asked_to_continue(app: App) -> None:
    headers = lines(app, **{**JSON, "Expect": "100-continue", "Content-Length": "18", "Connection": "close"})
    answer = answer_of(connect(app, f"POST {CHAT} HTTP/1.1\r\n".encode() + headers + b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 401"), answer


@pytest.mark.parametrize("prefix", ["", "/chat"], ids=["stripped", "passed on"])
def test_a_proxy_may_serve_the_app_below_a_path(impatient: App, acme: dict[str, str], prefix: str) -> None:
    url = impatient.url + prefix
    assert HTTP.get(f"{url}/api/budget/me", headers=acme).status_code == 200
    assert HTTP.get(f"{url}/").headers["Location"] == "/chat/dashboard/"
    page = HTTP.get(f"{url}/dashboard/login")
    links = [part.partition('"')[0] for part in page.text.split('="/')[1:]]
    assert links
    assert all(link.startswith("chat/") for link in links), links
    for link in links:
        if link.startswith("chat/static/"):
            assert HTTP.get(f"{impatient.url}/{link}").status_code == 200, link
    assert all("path=/chat" in cookie.lower() for cookie in page.headers.get_list("Set-Cookie"))
    document: Any = HTTP.get(f"{url}/openapi.json").json()
    assert document["servers"] == [{"url": "/chat"}]
    assert "/api/chat" in document["paths"]
    links = re.findall(r'"(/[^"]*\.(?:css|js|json))"', HTTP.get(f"{url}/docs").text)
    assert f"{links}".count("/chat/") == len(links) >= 4
    assert [HTTP.get(f"{impatient.url}{link}").status_code for link in links] == [200] * len(links)
    assert HTTP.get(f"{url}/chatter", headers=acme).status_code == 404
    assert HTTP.post(f"{impatient.url}/chat/chat/api/chat", json={"prompt": "Hi"}, headers=acme).status_code == 404


def test_sign_in_links_lead_below_the_path(installed: App) -> None:
    tenant = installed.add_tenant()["id"]
    below = replace(installed, environment={**installed.environment, "ROOT_PATH": "/chat"})
    assert "/chat/dashboard/link/" in below.done("tenants", "link", tenant)["url"]


@pytest.mark.parametrize("trusted", ["*", "127.0.0.1, *", "0.0.0.0/0", "::/0"])
def test_production_does_not_trust_every_proxy(installed: App, trusted: str) -> None:
    settings = {**installed.environment, "APP_ENV": "production", "FORWARDED_ALLOW_IPS": trusted}
    refused = App(installed.folder, settings).cli("serve")
    assert refused.returncode == 1
    assert "FORWARDED_ALLOW_IPS" in refused.stderr
