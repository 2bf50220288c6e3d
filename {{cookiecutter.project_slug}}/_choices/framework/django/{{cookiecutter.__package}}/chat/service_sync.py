"""The example feature for the synchronous world: the SDK's @cycles decorator on a plain function."""

import time

from asgiref.sync import async_to_sync
from django.conf import settings
from runcycles import CyclesProtocolError, cycles, get_cycles_context

from ..budget import guard_sync
from ..budget.guard import Hold, Work, provider_problem
from ..budget.subject import subject_of
from ..llm.provider import Completion, Message, ProviderError, Request
from ..llm.providers import make_provider
from ..tenants.records import Caller
from .schemas import Answer
from .service import SUMMARIZE, SUMMARIZER, decoration_of, end_of, request_to_model, request_within, text_of


def summary_of(
    caller: Caller, text: str, max_tokens: int | None = None, end_user: str | None = None, request_id: str = ""
) -> Work:
    """What `summarize` is to do. Raises Problem for what is not offered."""
    messages = (Message("system", SUMMARIZE), Message("user", text))
    request = request_to_model(settings.ENV, messages, max_tokens=max_tokens)
    return Work(
        caller=caller,
        route="summarize",
        request=request,
        request_id=request_id,
        end_user=end_user,
        agent=SUMMARIZER,
    )


def summarize(work: Work) -> Answer:
    """A summary, charged to the caller's tenant. Raises Problem when the budget or the provider refuses."""
    client = guard_sync.SyncClient(work.caller.tenant)
    hold = Hold(work, settings.ENV.prices.hold_for(work.request))
    subject = subject_of(settings.ENV, work.caller.tenant, work.end_user, work.agent)
    started = time.monotonic()

    # Decorated here, at the call: the decorator keeps its client for ever, and this must be the caller's.
    @cycles(**decoration_of(hold, subject, settings.ENV.prices), client=client)
    def summary() -> str:
        context = get_cycles_context()
        return text_of(hold, complete(request_within(hold, context)), context)

    try:
        text = summary()
    except CyclesProtocolError as error:
        raise guard_sync.refused(hold, client, started) from error
    except ProviderError as error:  # of an answer in one piece nothing has come then: the hold is released
        guard_sync.book(hold, client, started)
        raise provider_problem(error, hold) from error
    guard_sync.book(hold, client, started)
    return Answer(reply=text, **end_of(hold))


@async_to_sync
async def complete(request: Request) -> Completion:
    """Ask the model, blocking. Raises ProviderError. Each call has its own event loop, so its own provider."""
    provider = make_provider(settings.ENV)
    try:
        return await provider.complete(request)
    finally:
        await provider.aclose()
