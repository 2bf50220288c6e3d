"""The connections to Cycles: real servers that answer, stay silent, hang up, and lie."""

import asyncio
import os
import signal
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from {{ cookiecutter.__package }}.budget import connections as budget_connections
from {{ cookiecutter.__package }}.budget.connections import MOST_CONNECTIONS, Broken, Connections

from .embedded import until

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]
Run = Callable[[Callable[[], Coroutine[None, None, None]]], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a story in a loop of either kind; servers use uvloop where it is, which is not everywhere."""
    kind = pytest.importorskip(request.param)

    def run_story(story: Callable[[], Coroutine[None, None, None]]) -> None:
        faults: list[dict[str, Any]] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
            await story()

        kind.run(watched())
        # of callbacks, which nobody waits for; the servers' own tell on Python 3.11 that they were cancelled at the end
        assert [each for each in faults if not isinstance(each.get("exception"), asyncio.CancelledError)] == []

    return run_story


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """A server that does `serve` with each connection: its address. At the end it hangs up on all."""
    writers: list[StreamWriter] = []

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, RuntimeError):  # the last is uvloop's, once closed
            await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(connected, host, 0, ssl=tls, backlog=2 * MOST_CONNECTIONS) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            for writer in writers:
                writer.transport.abort()


async def question(reader: StreamReader) -> tuple[str, bytes]:
    """The next request: its head and its content."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
    return head, await reader.readexactly(length)


def answering(*answers: bytes) -> Serve:
    """Gives the answers one after the other, to one question each; then it hangs up."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        for answer in answers:
            await question(reader)
            writer.write(answer)

    return serve


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """Answers each question by its content, slowly where that asks for it."""
    while True:
        _, content = await question(reader)
        await asyncio.sleep(0.05 if content.startswith(b"slow") else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))


def connections(url: str) -> Connections:
    return Connections(url, 1.0, 1.0)


async def said(to: Connections) -> bytes:
    return (await to.request("GET", "/", {}))[2]


@pytest.mark.parametrize("credentials", ["", "ada:secret@"])
def test_a_question_is_one_request_of_http(run: Run, credentials: str) -> None:
    async def story() -> None:
        asked: list[tuple[str, bytes]] = []

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            while True:
                asked.append(await question(reader))
                writer.write(b"HTTP/1.1 201 Created\r\nX-Told: a\r\nx-told: b\r\nContent-Length: 0\r\n\r\n")

        async with serving(serve) as url:
            pool = connections(url.replace("//", f"//{credentials}") + "/X/")
            answer = await pool.request("POST", "/v1/a b%2F?q=%C3%A9&r=1", {"X-Key": "k\u00e9"}, b"{}")
            assert answer == (201, {"x-told": "b", "content-length": "0"}, b"")
            await pool.request("GET", "/v1/c", {})
            await pool.aclose()
            host = f"Host: {url.removeprefix('http://')}"
        post = ["POST /X/v1/a%20b%2F?q=%C3%A9&r=1 HTTP/1.1", host, "X-Key: k\u00e9", "Content-Length: 2", "", ""]
        get = ["GET /X/v1/c HTTP/1.1", host, "Content-Length: 0", "", ""]
        assert asked == [("\r\n".join(post), b"{}"), ("\r\n".join(get), b"")]

    run(story)


@pytest.mark.parametrize("headers", [{"X-Key": "a\r\nX-More: b"}, {"X-Key": "a\nb"}, {"X\r": "a"}])
def test_nobody_can_write_headers_of_his_own(run: Run, headers: dict[str, str]) -> None:
    async def story() -> None:
        with pytest.raises(ValueError, match="line break"):
            await connections("http://127.0.0.1:9").request("GET", "/", headers)

    run(story)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK,
    ],
    ids=["plain", "of HTTP 1.0", "the last", "in chunks", "announced"],
)
def test_an_answer_is_read_in_every_form_and_in_whatever_pieces_it_comes(run: Run, answer: bytes) -> None:
    async def story() -> None:
        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            await question(reader)
            for place in range(len(answer)):
                writer.write(answer[place : place + 1])
                await asyncio.sleep(0)
            await question(reader)
            writer.write(answer)

        async with serving(serve) as url:
            pool = connections(url)
            for _ in range(2):
                status, headers, content = await pool.request("GET", "/", {})
                assert (status, content) == (200, b"ok")
                assert "link" not in headers
            await pool.aclose()

    run(story)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["none", "half a head", "cut", "cut in chunks", "of no length", "another protocol", "not HTTP"],
)
def test_what_is_no_whole_answer_is_none_and_the_next_question_gets_its_own(run: Run, answer: bytes) -> None:
    async def story() -> None:
        answers = iter([answer, OK])

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            await answering(next(answers))(reader, writer)

        async with serving(serve) as url:
            pool = connections(url)
            with pytest.raises(Broken, match=r"^(hung up|no answer in HTTP): "):
                await said(pool)
            assert await said(pool) == b"ok"
            await pool.aclose()

    run(story)


@pytest.mark.parametrize("more", [OK, b"x", OK[:9]], ids=["another answer", "noise", "a part of another"])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_what_nobody_asked_for_is_not_taken_for_the_next_answer(run: Run, more: bytes, *, later: bool) -> None:
    async def story() -> None:
        sent, read, opened = asyncio.Event(), asyncio.Event(), 0

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            nonlocal opened
            opened += 1
            await question(reader)
            first = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
            if opened > 1:
                writer.write(OK)
            elif later:
                writer.write(first)
                await read.wait()
                writer.write(more)
            else:
                writer.write(first + more)
            await reader.read()
            sent.set()

        async with serving(serve) as url:
            pool = connections(url)
            assert await said(pool) == b"first"
            read.set()
            await sent.wait()  # we have hung up
            assert await said(pool) == b"ok"
            assert opened == 2
            await pool.aclose()

    run(story)


def test_connections_are_used_again_and_never_by_two_at_once(run: Run) -> None:
    async def story() -> None:
        opened = most = busy = 0

        async def serve(reader: StreamReader, writer: StreamWriter) -> None:
            nonlocal opened, most, busy
            opened, busy = opened + 1, busy + 1
            most = max(most, busy)
            try:
                await echo(reader, writer)
            finally:
                busy -= 1

        async with serving(serve) as url:
            pool = connections(url)
            for _ in range(3):
                contents = [b"%d" % number for number in range(2 * MOST_CONNECTIONS)]
                answers = await asyncio.gather(*(pool.request("POST", "/", {}, content) for content in contents))
                assert [content for _, _, content in answers] == contents
            assert opened == most == MOST_CONNECTIONS
            await pool.aclose()
            await until(lambda: busy == 0)

    run(story)


def test_who_is_cancelled_takes_the_late_answer_with_him(run: Run) -> None:
    async def story() -> None:
        async with serving(echo) as url:
            pool = connections(url)
            await pool.request("POST", "/", {}, b"first")
            for _ in range(20):
                slow = asyncio.create_task(pool.request("POST", "/", {}, b"slow"))
                await asyncio.sleep(0.002)
                slow.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await slow
                assert (await pool.request("POST", "/", {}, b"mine"))[2] == b"mine"
            await pool.aclose()

    run(story)


def test_a_server_that_does_not_answer_is_waited_for_as_long_as_was_said(run: Run) -> None:
    async def story() -> None:
        async def silent(reader: StreamReader, _: StreamWriter) -> None:
            await reader.read()

        async with serving(silent) as url:
            for address in (url, url.replace("http", "https")):  # also where it is TLS that does not come
                with pytest.raises(TimeoutError):
                    await Connections(address, 0.05, 0.05).request("GET", "/", {})
            crowded = Connections(url, 1.0, 60.0)
            asked = [asyncio.create_task(crowded.request("GET", "/", {})) for _ in range(MOST_CONNECTIONS)]
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                await crowded.request("GET", "/", {})
            assert [each.cancel() for each in asked] == [True] * MOST_CONNECTIONS, "they still wait for an answer"
            await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(ConnectionRefusedError):
            await said(connections(url))

    run(story)


def test_a_connection_that_the_server_has_closed_or_that_was_idle_for_long_is_not_used(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        opened = 0

        async def once(reader: StreamReader, writer: StreamWriter) -> None:
            nonlocal opened
            opened += 1
            await answering(OK, OK)(reader, writer)

        async with serving(once) as url:
            pool = connections(url)
            assert [await said(pool) for _ in range(2)] == [b"ok"] * 2
            await asyncio.sleep(0.05)  # it hangs up
            assert [await said(pool) for _ in range(2)] == [b"ok"] * 2
            assert opened == 2
            monkeypatch.setattr(budget_connections, "IDLE_S", 0.02)
            hasty = connections(url)
            assert await said(hasty) == b"ok"
            await asyncio.sleep(0.05)
            assert await said(hasty) == b"ok"
            assert opened == 4
            await asyncio.gather(pool.aclose(), hasty.aclose())

    run(story)


KILLED = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
for number in range(int(sys.argv[2])):
    if number == 0:
        connection = server.accept()[0]
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\no")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_that_is_killed_in_the_midst_of_an_answer_gave_none_and_the_one_after_it_is_found(run: Run) -> None:
    async def story() -> None:
        async def start(port: int) -> tuple[asyncio.subprocess.Process, int]:
            command = (sys.executable, "-c", KILLED, str(port), "2")
            server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert server.stdout is not None
            return server, int(await server.stdout.readline())

        server, port = await start(0)
        pool = connections(f"http://127.0.0.1:{port}")
        for _ in range(2):
            assert [await said(pool) for _ in range(2)] == [b"ok"] * 2
            with pytest.raises(ConnectionError):
                await said(pool)
            assert await server.wait() == -signal.SIGKILL
            with pytest.raises(ConnectionError):
                await said(pool)
            server, _ = await start(port)
        server.kill()
        await server.wait()
        await pool.aclose()

    run(story)


USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
NOT_CRITICAL = (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier, x509.SubjectAlternativeName)


def certified(folder: Path, host: str) -> ssl.SSLContext:
    """What a server at `host` speaks TLS with; its authority's certificate is `folder`/ca.pem."""
    now = datetime.now(UTC)

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    extensions: dict[str, list[x509.ExtensionType]] = {
        "authority": [
            x509.BasicConstraints(ca=True, path_length=None),
            x509.SubjectKeyIdentifier.from_public_key(authority.public_key()),
            x509.KeyUsage(**dict.fromkeys(USES, False) | {"key_cert_sign": True}),
        ],
        "server": [
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]),
        ],
    }

    def certificate(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
        issuer, subject = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("authority", name))
        built = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        for extension in extensions[name]:
            built = built.add_extension(extension, critical=not isinstance(extension, NOT_CRITICAL))
        return built.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    secret = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(certificate("authority", authority))
    (folder / "server.pem").write_bytes(secret + certificate("server", own))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.mark.parametrize(
    ("trusted", "host", "refused"),
    [(True, "127.0.0.1", None), (False, "127.0.0.1", "unable to get local issuer"), (True, "127.0.0.2", "mismatch")],
    ids=["by a known authority", "by an unknown one", "for another server"],
)
def test_tls_is_spoken_with_whom_the_certificate_names_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool, host: str, refused: str | None
) -> None:
    tls = certified(tmp_path, host)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem") if trusted else os.devnull)

    async def story() -> None:
        async with serving(echo, tls) as url:
            pool = connections(url)
            for _ in range(2):
                asked = pool.request("POST", "/", {}, b"secret" * 20_000)
                if refused is None:
                    assert (await asked)[2] == b"secret" * 20_000
                else:
                    with pytest.raises(ssl.SSLCertVerificationError, match=refused):
                        await asked
            await pool.aclose()

    run(story)


def test_cycles_is_asked_directly_whatever_proxies_there_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def story() -> None:
        async with serving(echo, host="::1") as url:
            pool = connections(url)
            assert (await pool.request("POST", "/", {}, b"direct"))[2] == b"direct"
            await pool.aclose()

    run(story)
