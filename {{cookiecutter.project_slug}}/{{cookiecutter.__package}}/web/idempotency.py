"""Idempotency-Key: a repeated request gets the stored answer, and its calls are charged once.

The database has a row for each key. A request that has one runs to its end in a task of its own, even if the client
leaves. Its answer is stored together with its settlements before these reach the outbox. If the process dies in
between, a repeated request or another process adds them: a settlement that is sent twice is charged once.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr, TypeAdapter

from ..budget.outbox import DEFERRED, Deferred, Settlement
from ..core.problems import Problem
from ..core.tasks import uncut
from ..tenants.headers import values_of
from ..tenants.registry import DATABASE_ERRORS
from .edge import App, Message, Receive, Scope, Send
from .models import KeptAnswer
from .services import Services
from .store import AnswerStore

log = structlog.get_logger(__name__)

HEADER = b"idempotency-key"
MAX_KEY = 255
MAX_KEPT_BYTES = 2**20
"""Of an answer's body."""
KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=20)
"""How long a request counts as running after its process has last said so."""
TEND_S = 5.0
BOOK_WITHIN = timedelta(seconds=5)
"""Time to write the settlements of a stored answer to the outbox. After it, any process does."""
STORE_TRIES = 5
RETRY_AFTER_S = 2
UNAVAILABLE = "Idempotency keys can't be checked right now. Try again later."

_SETTLEMENTS = TypeAdapter(list[Settlement])


class Idempotency:
    """Serves requests with a key. Made by `idempotency`."""

    def __init__(self, services: Services, store: AnswerStore) -> None:
        self._services = services
        self._store = store
        self._fernet = MultiFernet([Fernet(_key_from(secret)) for secret in services.settings.secret_key])
        self._owners: set[str] = set()
        """Of the rows whose requests run in this process."""

    async def serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the database, or by `app` once per key. Raise Problem before anything is sent."""
        state = scope["state"]
        tenant = state["tenant"] = await self._services.identity.identify(state["sent_headers"])
        key = _key_of(scope)
        body = await _body_of(receive)
        if body is None:
            return
        now = datetime.now(UTC)
        row = KeptAnswer(
            id=hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest(),
            tenant=tenant,
            fingerprint=hashlib.sha256(f"{scope['path']}?{scope['query_string']!r}\0".encode() + body).hexdigest(),
            owner=token_hex(16),
            lease_until=now + LEASE,
            expires_at=now + KEPT_FOR,
        )
        await self._services.guard.tasks.finish(self._answer(row, app, scope, body, send))

    async def tend(self) -> None:
        """Extend the leases of what runs here, and complete what processes that died have left."""
        now = datetime.now(UTC)
        if self._owners:
            await self._store.extend(list(self._owners), now + LEASE)
        for row in await self._store.unbooked(now):
            if opened := self._open(row):
                await self._restore(row, opened[0])

    async def prune(self) -> None:
        await self._store.prune(datetime.now(UTC))

    async def _answer(self, row: KeptAnswer, app: App, scope: Scope, body: bytes, send: Send) -> None:
        try:
            stored = await self._stored(row)
        except DATABASE_ERRORS as error:
            log.exception("idempotency key not stored, call refused")
            raise Problem("budget_unavailable", UNAVAILABLE) from error
        if stored:
            await self._replay(stored, send)
        else:
            await self._run(row, app, scope, body, send)

    async def _stored(self, row: KeptAnswer) -> KeptAnswer | None:
        """Return the row of an earlier request, None if `row` is stored now. Raise Problem idempotency_mismatch."""
        while not await self._store.add(row):
            found = await self._store.find(row.id)
            if found is None:
                continue  # it has just been deleted
            now = datetime.now(UTC)
            if found.expires_at > now:
                if found.fingerprint != row.fingerprint:
                    raise Problem("idempotency_mismatch")
                if found.state != "running" or found.lease_until > now:
                    return found
            await self._store.delete(found.id, found.owner)
        return None

    async def _replay(self, row: KeptAnswer, send: Send) -> None:
        is_leased = row.lease_until > datetime.now(UTC)
        if row.state == "running" or (row.state == "charged" and is_leased):
            raise Problem("idempotency_in_progress", retry_after=RETRY_AFTER_S)
        opened = self._open(row)
        if opened and row.state == "answered" and not is_leased:
            await self._restore(row, opened[0])
        if not opened or "status" not in opened[0]:
            raise Problem("idempotency_not_kept")
        head, body = opened
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]]
        await send({"type": "http.response.start", "status": head["status"], "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _run(self, row: KeptAnswer, app: App, scope: Scope, body: bytes, send: Send) -> None:
        async def book(deferred: Deferred) -> None:
            """Write what an earlier hold of the request has spent. If the process dies now, nothing runs anew."""
            if not await self._store.update(row, state="charged"):
                raise Problem("idempotency_in_progress", retry_after=RETRY_AFTER_S)
            row.state, settlements, deferred.waiting = "charged", deferred.waiting, []
            deferred.is_open = False
            await self._book(settlements)
            deferred.is_open = True

        deferred = Deferred(book)
        DEFERRED.set(deferred)
        answer = _Recorder(send, deferred)
        self._owners.add(row.owner)
        try:
            try:
                await app(scope, _receiving(body), answer.send)
            finally:
                await self._keep(row, answer, deferred.take())
            await answer.deliver()
        finally:
            self._owners.discard(row.owner)
        if row.state == "answered":
            with suppress(*DATABASE_ERRORS):  # at worst the settlements are sent twice
                await self._store.update(row, state="booked")

    async def _keep(self, row: KeptAnswer, answer: "_Recorder", settlements: list[Settlement]) -> None:
        """Store an answer that was charged, and write its settlements. Let others run the request if it was not."""
        if not settlements and row.state == "running":
            with suppress(*DATABASE_ERRORS):  # its lease ends
                await self._store.delete(row.id, row.owner)
            return
        head, body = (answer.head, answer.body) if answer.is_whole else ({}, b"")
        head = {**head, "settlements": _SETTLEMENTS.dump_python(settlements, mode="json")}
        sealed = self._fernet.encrypt(json.dumps(head).encode() + b"\n" + body).decode()
        changes = {"state": "answered", "answer": sealed, "lease_until": datetime.now(UTC) + BOOK_WITHIN}
        if not await self._is_stored(row, changes):
            # not charged: the same key may run the call again, and pay for it
            lost = sum(settlement.actual for settlement in settlements)
            log.error("answer not stored: not sent, not charged", tenant=row.tenant, microcents=lost)
            if answer.is_begun:
                raise ConnectionError("answer not stored")
            raise Problem("budget_unavailable", UNAVAILABLE)
        row.state = "answered"
        await self._book(settlements)

    async def _is_stored(self, row: KeptAnswer, changes: dict[str, Any]) -> bool:
        """Return False if the database stays out of reach, or if another request has taken the key over."""
        for _ in range(STORE_TRIES):
            try:
                return await self._store.update(row, **changes)
            except DATABASE_ERRORS:
                log.exception("answer not stored, trying again", tenant=row.tenant)
                await asyncio.sleep(1)
        return False

    async def _book(self, settlements: list[Settlement]) -> None:
        """Write settlements to the outbox, and send them once."""
        for settlement in settlements:
            self._services.outbox.add(settlement)
        for settlement in settlements:
            try:
                client = await self._services.clients.of(settlement.tenant)
                await client.settle(settlement)
            except Exception:
                log.exception("not settled, trying again", tenant=settlement.tenant, settlement=settlement.name)

    async def _restore(self, row: KeptAnswer, head: dict[str, Any]) -> None:
        """Write the settlements of a process that died before it could."""
        for settlement in _SETTLEMENTS.validate_python(head["settlements"]):
            self._services.outbox.restore(settlement)
        await self._store.update(row, state="booked")

    def _open(self, row: KeptAnswer) -> tuple[dict[str, Any], bytes] | None:
        """Return the head and the body of a stored answer, None if there is none that can be decrypted."""
        try:
            head, _, body = self._fernet.decrypt(row.answer).partition(b"\n")
        except InvalidToken:
            return None
        return json.loads(head), body


@asynccontextmanager
async def idempotency(services: Services, store: AnswerStore) -> AsyncIterator[Idempotency]:
    """Open it, with its background task."""
    keyed = Idempotency(services, store)

    async def run() -> None:
        rounds = 0
        while True:
            try:
                await uncut(keyed.tend())
                if rounds % 720 == 0:
                    await uncut(keyed.prune())
            except Exception:
                log.exception("idempotency keys not tended, trying again")
            rounds += 1
            await asyncio.sleep(TEND_S)

    running = asyncio.create_task(run())
    try:
        yield keyed
    finally:
        running.cancel()
        await asyncio.wait([running])


class _Recorder:
    """Records the messages of an answer. Sends a stream's on, but nothing that follows its charge, and no end."""

    def __init__(self, send: Send, deferred: Deferred) -> None:
        self.head: dict[str, Any] = {}
        self.body = bytearray()
        self.is_begun = self.is_whole = False
        self._send = send
        self._deferred = deferred
        self._waiting: list[Message] = []

    async def send(self, message: Message) -> None:
        self._waiting.append(message)
        if message["type"] == "http.response.start":
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self.head = {"status": message["status"], "headers": headers}
        else:
            self.body += message.get("body", b"")
            del self.body[MAX_KEPT_BYTES + 1 :]
            self.is_whole = not message.get("more_body") and len(self.body) <= MAX_KEPT_BYTES
        if message.get("more_body") and not self._deferred.waiting:
            await self.deliver()

    async def deliver(self) -> None:
        """Send what waits. A client that has left misses it."""
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self.is_begun = True
            with suppress(OSError, RuntimeError):
                await self._send(message)


def _receiving(body: bytes) -> Receive:
    """Return a `receive` for a body that has come, from a client that stays."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    return receive


async def _body_of(receive: Receive) -> bytes | None:
    """Return the request's body, None if the client has left."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _key_of(scope: Scope) -> str:
    keys = values_of(scope["headers"], HEADER)
    key = keys[0].decode("latin-1")
    if len(keys) > 1 or not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Problem("invalid_request", f"Send one Idempotency-Key of 1 to {MAX_KEY} printable ASCII characters.")
    return key


def _key_from(secret: SecretStr) -> bytes:
    # no password hash: the settings require a long random secret
    return base64.urlsafe_b64encode(hashlib.sha256(b"kept answers" + secret.get_secret_value().encode()).digest())
