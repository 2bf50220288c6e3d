"""The guard for synchronous code: views, management commands, task workers.

It runs in an event loop of another thread: the server's under ASGI, else one that is started by the first call, and by
the first call after a fork. Safe in threads and inside `atomic()`; raises RuntimeError in an event loop's own thread.
"""

import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from django.conf import settings
from structlog.contextvars import bind_contextvars, get_contextvars

from ..budget.hold import Hold, Work
from ..calls.store import CallStore
from ..tenants.registry import Registry
from .services import Services

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Portal:
    """The event loop that `services` live in, and what closes both if this module started them."""

    loop: BlockingPortal
    services: Services
    closing: ExitStack | None = None


_lock = threading.RLock()
_portals: list[Portal] = []
"""One, once it is needed."""
_inherited: list[Portal] = []
"""Portals of the processes this one was forked from. Kept, because a child must not even close their SQLite files."""


@contextmanager
def hold(work: Work) -> Iterator[Hold]:
    """Hold the upper bound of `work`, run the body, charge what it used: same as `Guard.hold`."""
    ours = _portal()
    with ExitStack() as stack:
        guarded = ours.loop.wrap_async_context_manager(ours.services.guard.hold(work))
        yield _empty_context().run(stack.enter_context, guarded)


def call(function: Callable[[Services], Awaitable[T]]) -> T:
    """Run an async function of the services: `call(lambda services: Chat(services).summarize(work))`."""
    ours = _portal()
    return _empty_context().run(ours.loop.call, function, ours.services)


@contextmanager
def serving(loop: BlockingPortal, services: Services) -> Iterator[None]:
    """Use these services, of the server's event loop."""
    portal = Portal(loop, services)
    _portals.insert(0, portal)
    try:
        yield
    finally:
        _portals.remove(portal)


def _empty_context() -> Context:
    """Return a context with our log fields only: with asgiref's, the loop's ORM calls wait for this very thread."""
    context = Context()
    context.run(bind_contextvars, **get_contextvars())
    return context


def _portal() -> Portal:
    with _lock:
        if not _portals:
            closing = ExitStack()
            loop = closing.enter_context(start_blocking_portal(name="budget"))
            services = Services(settings.ENV, Registry(), CallStore())
            closing.enter_context(loop.wrap_async_context_manager(services))
            _portals.append(Portal(loop, services, closing))
        return _portals[0]


@atexit.register
def close() -> None:
    """Settle and record what is left, at the end of a command. At exit it's too late for the records: no threads."""
    for portal in [*_portals]:
        if portal.closing:
            _portals.remove(portal)
            portal.closing.close()


def _forget() -> None:
    global _lock  # noqa: PLW0603  (another thread may have held it)
    _lock = threading.RLock()
    _inherited.extend(_portals)
    _portals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
