"""Idempotency-Key: a repeated request gets the stored answer, and its calls are charged once.

The database has a row for each key. A request that has one runs to its end in a task of its own, even if the client
leaves. Its answer is stored together with its settlements before these reach the outbox. If the process dies in
between, another one adds them: a settlement that is sent twice is charged once.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex

from pydantic import ConfigDict, TypeAdapter

from ..budget.outbox import DEFERRED, Deferred, Settlement
from ..core.ciphers import Cipher, digest_of
from ..core.logging import log
from ..core.problems import Problem
from ..core.tasks import uncut
from ..tenants.headers import values_of
from ..tenants.registry import DATABASE_ERRORS
from .edge import IDEMPOTENCY_KEY, App, Message, Receive, Scope, Send
from .models import KeptAnswer
from .services import Services
from .store import AnswerStore

KEY = re.compile(rb"[ -~]{1,255}")
MAX_KEPT_BYTES = 2**20
"""Of an answer's body."""
KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=20)
"""How long a request counts as running after its process has last said so."""
TEND_S = 5.0
BOOK_WITHIN = timedelta(seconds=5)
"""Time to write the settlements of a stored answer to the outbox. After it, any process does."""


@dataclass
class Kept:
    """What a row holds, encrypted. `status` is 0 if there is no answer: not yet, or none that can be kept."""

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
        self._cipher = Cipher("SECRET_KEY", services.settings.secret_key, "kept answers")
        self._owners: set[str] = set()
        """Of the rows whose requests run in this process."""

    async def serve(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the database, or by `app` once per key. Raise Problem before anything is sent."""
        state = scope["state"]
        tenant = state["tenant"] = await self._services.identity.identify(state["sent_headers"])
        key, messages = _key_of(scope), [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        if messages[-1]["type"] == "http.disconnect":
            return
        target = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        body = b"".join(message.get("body", b"") for message in messages)
        row = KeptAnswer(
            id=digest_of(f"{tenant}\0{key}".encode()),
            fingerprint=digest_of(f"{target}\0".encode() + body),
            owner=token_hex(16),
            lease_until=datetime.now(UTC) + LEASE,
            expires_at=datetime.now(UTC) + KEPT_FOR,
        )

        async def receive_again() -> Message:
            return messages.pop(0) if messages else await asyncio.Future()  # the client counts as one that stays

        await self._services.guard.tasks.finish(self._answer(row, app, scope, receive_again, send))

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
                self._services.outbox.write(settlement, due_now=True)  # Cycles charges it once in any case
            await self._store.update(row, lease_until=None)

    async def _answer(self, row: KeptAnswer, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        call = _Call(book=lambda: self._book(row, call, Kept(settlements=call.waiting), LEASE), send_on=send)
        try:
            if kept := await self._earlier(row):
                await call.send({"type": "http.response.start", "status": kept.status, "headers": kept.headers})
                await call.send({"type": "http.response.body", "body": kept.body})
            else:
                await self._run(row, call, app, scope, receive)
        except Exception as error:
            is_databases = isinstance(error, DATABASE_ERRORS)
            if is_databases or call.waiting:  # a request with the same key may run again, and pay for it
                tenant, lost = scope["state"]["tenant"], sum(settlement.actual for settlement in call.waiting)
                log.exception("answer not stored: not sent, not charged", tenant=tenant, microcents=lost)
            if call.sent:
                raise ConnectionError("answer cut off") from error
            if is_databases:
                raise Problem("budget_unavailable", "Idempotency keys can't be stored right now. Try again.") from error
            raise
        await call.deliver()

    async def _earlier(self, row: KeptAnswer) -> Kept | None:
        """Return an earlier request's answer, None if `row` is stored now. Raise Problem."""
        while not await self._services.registry.add(row):
            found, now = await self._services.registry.get(KeptAnswer, row.id), datetime.now(UTC)
            if found is None:
                continue  # deleted meanwhile
            if found.expires_at > now:
                if found.fingerprint != row.fingerprint:
                    raise Problem("idempotency_mismatch")
                if (kept := self._open(found)).status:
                    return kept
                if found.lease_until and found.lease_until > now:
                    raise Problem("idempotency_in_progress")
                if found.answer:
                    raise Problem("idempotency_not_kept")
            await self._store.delete(found)
        return None

    async def _run(self, row: KeptAnswer, call: "_Call", app: App, scope: Scope, receive: Receive) -> None:
        """Run a request, and store its answer if it was charged. Free the key if it was not."""
        DEFERRED.set(call)
        self._owners.add(row.owner)
        try:
            await app(scope, receive, call.send)
        finally:
            call.is_open = False
            self._owners.discard(row.owner)
            if call.waiting or row.answer:
                await self._book(row, call, call.kept(), BOOK_WITHIN)
            with suppress(*DATABASE_ERRORS):  # the lease ends: `run` completes it, or another request takes over
                if row.answer:
                    await self._store.update(row, lease_until=None)
                else:
                    await self._store.delete(row)

    async def _book(self, row: KeptAnswer, call: "_Call", kept: Kept, lease: timedelta) -> None:
        """Store what is known of an answer, then write its settlements to the outbox, and send them once.

        Raise Problem if another request has taken the key over.
        """
        answer = self._cipher.seal(_KEPT.dump_json(kept).decode())
        if not await self._store.update(row, answer=answer, lease_until=datetime.now(UTC) + lease):
            raise Problem("idempotency_in_progress")
        row.answer = answer
        waiting, call.waiting = call.waiting, []
        for settlement in waiting:
            self._services.outbox.write(settlement)
        for settlement in waiting:
            client = await self._services.clients.of(settlement.tenant)
            await client.settle(settlement)

    def _open(self, row: KeptAnswer) -> Kept:
        """Return what is kept. Nothing before there is any, and without the secret."""
        text = self._cipher.open(row.answer)
        return _KEPT.validate_json(text) if text else Kept()


@dataclass(kw_only=True)
class _Call(Deferred):
    """A request and its answer. Sends a stream's messages on, but nothing that follows its charge, and no end."""

    send_on: Send
    messages: list[Message] = field(default_factory=list)
    sent: int = 0
    """Number of messages."""

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if message.get("more_body") and not self.waiting:
            await self.deliver()

    async def deliver(self) -> None:
        """Send what waits. A client that has left misses it."""
        for message in self.messages[self.sent :]:
            self.sent += 1
            with suppress(OSError, RuntimeError):
                await self.send_on(message)

    def kept(self) -> Kept:
        """Return what to keep of the answer: nothing if it is too large, was not completed, or asks to try again."""
        body = b"".join(message.get("body", b"") for message in self.messages)
        is_whole = len(self.messages) > 1 and not self.messages[-1].get("more_body")
        if not is_whole or self.messages[0]["status"] == 503 or len(body) > MAX_KEPT_BYTES:
            return Kept(settlements=self.waiting)
        return Kept(self.messages[0]["status"], self.messages[0]["headers"], body, self.waiting)


def _key_of(scope: Scope) -> str:
    keys = values_of(scope["headers"], IDEMPOTENCY_KEY)
    if len(keys) > 1 or not KEY.fullmatch(keys[0]):
        raise Problem("invalid_request", "Send one Idempotency-Key of 1 to 255 printable ASCII characters.")
    return keys[0].decode()
