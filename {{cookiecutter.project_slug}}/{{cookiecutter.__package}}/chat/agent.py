"""The example agent: calls of the model and of tools in a run, until done or until the run can't pay the next step."""

from dataclasses import replace

from ..budget.hold import Hold, Work
from ..budget.runs import Run
from ..core.money import parse_usd
from ..core.problems import Problem
from ..llm.provider import Message, ProviderError, Request, ToolCall, message_of
from ..web.schemas import Money, budget_headers
from ..web.services import Services
from .schemas import AgentAnswer, AgentRequest, Stopped
from .tools import TOOLS

MAX_STEPS = 20
SYSTEM = "Solve the user's task. Use the tools where they help."


class Agent:
    """One task. A step is a call of the model or of a tool."""

    def __init__(self, services: Services, tenant: str, body: AgentRequest, request_id: str) -> None:
        settings, tools = services.settings, tuple(local.tool for local in TOOLS.values())
        self._services = services
        self._limit = parse_usd(body.limit)
        messages = (Message("system", SYSTEM), Message("user", body.task))
        request = Request(settings.llm_model, messages, settings.llm_max_tokens, tools)
        self._work = Work(
            tenant=tenant, route="agent", request=request, request_id=request_id, end_user=body.end_user, agent="agent"
        )
        self._due: list[ToolCall | None] = [None]
        """The next steps: a call of a tool, or None to ask the model."""
        self._steps: list[Message] = []
        """What each step said: the model, or a tool."""
        self._holds: list[Hold] = []

    async def answer(self) -> tuple[AgentAnswer, dict[str, str]]:
        """Return the answer and its headers. Raise Problem if the first step fails.

        If the client leaves, the step in progress runs to its end and is charged, and no other begins.
        """
        stopped: Stopped | None = None
        async with self._services.guard.run(self._work.tenant, limit=self._limit) as run:
            try:
                while self._due and len(self._steps) < MAX_STEPS:
                    call = self._due.pop(0)
                    await self._services.guard.tasks.finish(self._use_tool(run, call) if call else self._ask(run))
            except Problem as problem:
                if not self._steps:
                    raise
                stopped = "run_limit_exceeded" if problem.code == "run_limit_exceeded" else "budget_exceeded"
                if isinstance(problem.__cause__, ProviderError):
                    stopped = "provider_error"
        answer = AgentAnswer(
            reply="\n\n".join(each.content for each in self._steps if each.role == "assistant" and each.content),
            steps=len(self._steps),
            stopped=stopped or ("max_steps" if self._due else None),
            cost=Money(amount=sum(hold.call.cost for hold in self._holds)),
            limit=Money(amount=self._limit),
        )
        return answer, budget_headers(self._holds[-1].remaining if self._holds else None, answer.cost.amount)

    async def _ask(self, run: Run) -> None:
        request = replace(self._work.request, messages=(*self._work.request.messages, *self._steps))
        async with run.hold(replace(self._work, request=request)) as hold:
            self._holds.append(hold)
            message = message_of([item async for item in hold.stream(self._services.provider, paced=False)])
        self._steps.append(message)
        if message.tool_calls:
            self._due = [*message.tool_calls, None]

    async def _use_tool(self, run: Run, call: ToolCall) -> None:
        result, local = f"There is no tool {call.name}.", TOOLS.get(call.name)
        if local:
            try:
                async with run.hold_tool(call.name, usd=local.usd, work=self._work) as hold:
                    self._holds.append(hold)
                    result = local.answer(call.arguments)
            except Problem as problem:
                if problem.code != "tool_not_allowed":
                    raise
                result = problem.message
        self._steps.append(Message("tool", result, call_id=call.id))
