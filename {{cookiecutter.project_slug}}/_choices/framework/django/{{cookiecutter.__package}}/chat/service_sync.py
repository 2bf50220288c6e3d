"""The example feature for the synchronous world: the SDK's @cycles decorator on a plain function."""

import time

from asgiref.sync import async_to_sync
from django.conf import settings
from runcycles import CyclesMetrics, CyclesProtocolError, cycles, get_cycles_context

from ..budget import guard_sync
from ..budget.guard import HOLD_TTL_MS, OVERAGE_POLICY, Hold, Work, capped, provider_problem
from ..budget.subject import subject_of
from ..llm.provider import Completion, Delta, Message, ProviderError, Request
from ..llm.providers import make_provider
from ..tenants.records import Caller
from .schemas import Answer
from .service import SUMMARIZE, end_of, request_to_model


def summary_of(
    caller: Caller, text: str, max_tokens: int | None = None, end_user: str | None = None, request_id: str = ""
) -> Work:
    """What `summarize` is to do. Raises Problem for what is not offered."""
    messages = (Message("system", SUMMARIZE), Message("user", text))
    request = request_to_model(settings.ENV, messages, max_tokens=max_tokens)
    return Work(caller=caller, route="summarize", request=request, request_id=request_id, end_user=end_user)


def summarize(work: Work) -> Answer:
    """A summary, charged to the caller's tenant. Raises Problem when the budget or the provider refuses."""
    client = guard_sync.SyncClient(work.caller.tenant)
    hold = Hold(work, guard_sync.upper_bound(work))
    subject = subject_of(work.caller.tenant, settings.ENV.cycles_app, work.end_user, work.agent)
    started = time.monotonic()
    failure: ProviderError | None = None

    def cost(_: str) -> int:
        hold.cost = guard_sync.prices().of(work.request.model).cost(hold.usage)
        hold.outcome = "charged"
        return hold.cost

    # Decorated here, at the call: the decorator keeps its client for ever, and this must be the caller's.
    @cycles(
        estimate=hold.amount,
        actual=cost,
        action_kind="llm.completion",
        action_name=work.request.model,
        ttl_ms=HOLD_TTL_MS,
        overage_policy=OVERAGE_POLICY,
        workflow=subject.workflow,
        agent=subject.agent,
        client=client,
    )
    def summary() -> str:
        nonlocal failure
        context = get_cycles_context()
        try:
            completion = complete(capped(work.request, context.caps if context else None))
        except ProviderError as error:
            if error.usage is None:
                raise
            hold.add(error.usage)  # tokens were used: returning makes the decorator commit them
            failure = error
            return ""
        hold.add(Delta(completion.text))
        if completion.usage is not None:
            hold.add(completion.usage)
        if context is not None:
            used = hold.usage
            context.metrics = CyclesMetrics(tokens_input=used.input_tokens, tokens_output=used.output_tokens)
        return completion.text

    try:
        text = summary()
    except ProviderError as error:
        failure = error
    except CyclesProtocolError as error:
        raise guard_sync.refused(hold, client, started) from error
    guard_sync.book(hold, client, started)
    if failure is not None:
        raise provider_problem(failure, work) from failure
    return Answer(reply=text, **end_of(hold))


@async_to_sync
async def complete(request: Request) -> Completion:
    """Ask the model, blocking. Raises ProviderError. Each call has its own event loop, so its own provider."""
    provider = make_provider(settings.ENV)
    try:
        return await provider.complete(request)
    finally:
        await provider.aclose()
