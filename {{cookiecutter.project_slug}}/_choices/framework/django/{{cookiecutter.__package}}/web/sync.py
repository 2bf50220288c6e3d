"""The guard for synchronous code: views, management commands, task workers.

It runs in an event loop of another thread: the server's under ASGI, otherwise one that each process starts with its
first call. Works in threads and inside `atomic()`. Raises RuntimeError in the thread of that event loop, and in a
process that was forked after its parent's first call.
"""

import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context
from typing import NamedTuple, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from django.conf import settings
from structlog.contextvars import bind_contextvars, get_contextvars

from ..budget.hold import Hold, Work
from ..budget.outbox import DEFERRED
from ..calls.store import CallStore
from ..tenants.registry import Registry
from .services import Services

T = TypeVar("T")


class Portal(NamedTuple):
    """An event loop and the services that live in it; `closing` closes both if this module opened them."""

    loop: BlockingPortal
    services: Services
    closing: ExitStack


# By process ID: a forked process can't use its parent's.
_portals: dict[int, Portal] = {}
_locks: dict[int, threading.Lock] = {}


@contextmanager
def hold(work: Work) -> Iterator[Hold]:
    """Hold the maximum cost of `work`, run the body, charge what it used: the synchronous `Guard.hold`."""
    portal = _portal()
    with ExitStack() as stack:
        guarded = portal.loop.wrap_async_context_manager(portal.services.guard.hold(work))
        yield _empty_context().run(stack.enter_context, guarded)


def call(function: Callable[[Services], Awaitable[T]]) -> T:
    """Run an async function of the services: `call(lambda services: complete(services, work))`."""
    portal = _portal()
    return _empty_context().run(portal.loop.call, function, portal.services)


@contextmanager
def serving(loop: BlockingPortal, services: Services) -> Iterator[None]:
    """Use the server's event loop and services while the body runs."""
    _portals[os.getpid()] = Portal(loop, services, ExitStack())
    try:
        yield
    finally:
        close()


@atexit.register
def close() -> None:
    """Settle and record what is left."""
    if portal := _portals.pop(os.getpid(), None):
        portal.closing.close()


def _empty_context() -> Context:
    """Return a context with what is ours only: in asgiref's, the loop's ORM calls would wait for this thread."""
    context = Context()
    context.run(bind_contextvars, **get_contextvars())
    context.run(DEFERRED.set, DEFERRED.get())
    return context


def _portal() -> Portal:
    process = os.getpid()
    if _portals.keys() - {process}:  # SQLite may be locked here for ever, by a thread of the parent's
        raise RuntimeError("Fork before the first call: a process with threads can't be forked safely.")
    with _locks.setdefault(process, threading.Lock()):
        if process not in _portals:
            closing = ExitStack()
            loop = closing.enter_context(start_blocking_portal(name="budget"))
            services = Services(settings.ENV, Registry(), CallStore())
            closing.enter_context(loop.wrap_async_context_manager(services))
            _portals[process] = Portal(loop, services, closing)
        return _portals[process]
