"""Idempotency-Key: a repeated request gets the stored answer, and its calls are charged once.

The database has a row for each key. A request that has one runs to its end in a task of its own, even if the client
leaves. Its answer is stored together with its settlements before these reach the outbox. If the process dies in
between, another one adds them: a settlement that is sent twice is charged once.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import structlog
from cryptography.fernet import InvalidToken, MultiFernet
from pydantic import ConfigDict, TypeAdapter

from ..budget.outbox import DEFERRED, Deferred, Settlement
from ..core.ciphers import fernets_of
from ..core.problems import Problem
from ..core.tasks import uncut
from ..tenants.headers import values_of
from ..tenants.registry import DATABASE_ERRORS
from .edge import IDEMPOTENCY_KEY, App, Message, Receive, Scope, Send
from .models import KeptAnswer
from .services import Services
from .store import AnswerStore

log = structlog.get_logger(__name__)

MAX_KEY = 255
MAX_KEPT_BYTES = 2**20
"""Of an answer's body."""
KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=20)
"""How long a request counts as running after its process has last said so."""
TEND_S = 5.0
BOOK_WITHIN = timedelta(seconds=5)
"""Time to write the settlements of a stored answer to the outbox. After it, any process does."""
NOT_KEPT = -1
"""Status of an answer that is too large, or was not completed."""
UNAVAILABLE = "Idempotency keys can't be stored right now. Try again later."


@dataclass
class Kept:
    """What a row holds, encrypted. `status` is 0 while the request runs."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    settlements: list[Settlement] = field(default_factory=list)


_KEPT = TypeAdapter(Kept)


class Idempotency:
    """Serves requests with a key. `run` must run in the background."""

    def __init__(self, services: Services, store: AnswerStore) -> None:
        self._services = services
        self._store = store
        self._fernet = MultiFernet(fernets_of(services.settings.secret_key, "kept answers"))
        self._owners: set[str] = set()
        """Of the rows whose requests run in this process."""

    async def serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the database, or by `app` once per key. Raise Problem before anything is sent."""
        state = scope["state"]
        tenant = state["tenant"] = await self._services.identity.identify(state["sent_headers"])
        key, body = _key_of(scope), await _read_body(receive)
        if body is None:
            return
        target = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        row = KeptAnswer(
            id=hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest(),
            tenant=tenant,
            fingerprint=hashlib.sha256(f"{target}\0".encode() + body).hexdigest(),
            owner=token_hex(16),
            lease_until=datetime.now(UTC) + LEASE,
            expires_at=datetime.now(UTC) + KEPT_FOR,
        )
        await self._services.guard.tasks.finish(self._answer(row, app, scope, body, send))

    async def run(self) -> None:
        """Extend the leases of what runs here, and complete what processes that died have left, until cancelled."""
        while True:
            try:
                await uncut(self._tend())
            except Exception:
                log.exception("idempotency keys not tended, trying again")
            await asyncio.sleep(TEND_S)

    async def _tend(self) -> None:
        now = datetime.now(UTC)
        for row in await self._store.tend(list(self._owners), now, now + LEASE):
            for settlement in self._open(row).settlements:
                self._services.outbox.restore(settlement)
            await self._store.update(row, lease_until=None)

    async def _answer(self, row: KeptAnswer, app: App, scope: Scope, body: bytes, send: Send) -> None:
        try:
            kept = await self._earlier(row)
        except DATABASE_ERRORS as error:
            log.exception("idempotency key not stored, call refused")
            raise Problem("budget_unavailable", UNAVAILABLE) from error
        if kept is None:
            await self._run(row, app, scope, body, send)
        else:
            await send({"type": "http.response.start", "status": kept.status, "headers": kept.headers})
            await send({"type": "http.response.body", "body": kept.body})

    async def _earlier(self, row: KeptAnswer) -> Kept | None:
        """Return an earlier request's answer, None if `row` is stored now. Raise Problem."""
        while not await self._services.registry.add(row):
            found, now = await self._store.find(row.id), datetime.now(UTC)
            if found is None:
                continue  # deleted meanwhile
            if found.expires_at > now:
                if found.fingerprint != row.fingerprint:
                    raise Problem("idempotency_mismatch")
                if (kept := self._open(found)).status > 0:
                    return kept
                if kept.status != NOT_KEPT and found.lease_until and found.lease_until > now:
                    raise Problem("idempotency_in_progress")
                if found.answer:
                    raise Problem("idempotency_not_kept")
            await self._store.delete(found)
        return None

    async def _run(self, row: KeptAnswer, app: App, scope: Scope, body: bytes, send: Send) -> None:
        async def book() -> None:
            await self._store_answer(row, Kept(settlements=deferred.waiting), LEASE)
            waiting, deferred.waiting = deferred.waiting, []
            await self._book(waiting)

        deferred = Deferred(book)
        DEFERRED.set(deferred)
        answer = _Recorder(send, deferred)
        self._owners.add(row.owner)
        try:
            await app(scope, _receiving(body), answer.send)
        finally:
            deferred.is_open = False
            self._owners.discard(row.owner)
            await self._finish(row, answer, deferred.waiting)
        await answer.deliver()
        if row.answer:
            with suppress(*DATABASE_ERRORS):  # `run` does it then
                await self._store.update(row, lease_until=None)

    async def _finish(self, row: KeptAnswer, answer: "_Recorder", settlements: list[Settlement]) -> None:
        """Store an answer that was charged, and book its settlements. Free the key if it was not."""
        if not settlements and not row.answer:
            with suppress(*DATABASE_ERRORS):  # its lease ends
                await self._store.delete(row)
            return
        try:
            await self._store_answer(row, answer.kept(settlements), BOOK_WITHIN)
        except Exception:
            # not charged: a request with the same key may run again, and pay for it
            lost = sum(settlement.actual for settlement in settlements)
            log.exception("answer not stored: not sent, not charged", tenant=row.tenant, microcents=lost)
            if answer.sent:
                raise ConnectionError("answer cut off") from None
            raise Problem("budget_unavailable", UNAVAILABLE) from None
        await self._book(settlements)

    async def _store_answer(self, row: KeptAnswer, kept: Kept, lease: timedelta) -> None:
        """Store what is known of an answer. Raise Problem if another request has taken the key over."""
        answer = self._fernet.encrypt(_KEPT.dump_json(kept)).decode()
        if not await self._store.update(row, answer=answer, lease_until=datetime.now(UTC) + lease):
            raise Problem("idempotency_in_progress")
        row.answer = answer

    async def _book(self, settlements: list[Settlement]) -> None:
        """Write settlements to the outbox, and send them once."""
        for settlement in settlements:
            self._services.outbox.write(settlement)
        for settlement in settlements:
            client = await self._services.clients.of(settlement.tenant)
            await client.settle(settlement)

    def _open(self, row: KeptAnswer) -> Kept:
        """Return what is kept. Nothing before there is any, and without the secret."""
        try:
            return _KEPT.validate_json(self._fernet.decrypt(row.answer)) if row.answer else Kept()
        except InvalidToken:
            log.error("kept answer not decrypted", reason="no secret of SECRET_KEY fits", tenant=row.tenant)
            return Kept()


class _Recorder:
    """Records an answer. Sends a stream's messages on, but nothing that follows its charge, and no end."""

    def __init__(self, send: Send, deferred: Deferred) -> None:
        self.sent = 0
        """Number of messages."""
        self._send = send
        self._deferred = deferred
        self._messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self._messages.append(message)
        if message.get("more_body") and not self._deferred.waiting:
            await self.deliver()

    async def deliver(self) -> None:
        """Send what waits. A client that has left misses it."""
        for message in self._messages[self.sent :]:
            self.sent += 1
            with suppress(OSError, RuntimeError):
                await self._send(message)

    def kept(self, settlements: list[Settlement]) -> Kept:
        """Return what to keep of the answer: nothing if it is too large, was not completed, or asks to try again."""
        body = b"".join(message.get("body", b"") for message in self._messages)
        status = self._messages[0]["status"] if self._messages else 503
        incomplete = len(self._messages) < 2 or self._messages[-1].get("more_body")
        if incomplete or status == 503 or len(body) > MAX_KEPT_BYTES:
            return Kept(NOT_KEPT, settlements=settlements)
        return Kept(status, self._messages[0]["headers"], body, settlements)


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body, None if the client has left."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)
    return None


def _receiving(body: bytes) -> Receive:
    """Return a `receive` for a body that has come, from a client that stays."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    return receive


def _key_of(scope: Scope) -> str:
    keys = values_of(scope["headers"], IDEMPOTENCY_KEY)
    key = keys[0].decode("latin-1")
    if len(keys) > 1 or not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Problem("invalid_request", f"Send one Idempotency-Key of 1 to {MAX_KEY} printable ASCII characters.")
    return key
