"""Bodies of the example routes' requests and answers. Both frameworks build their OpenAPI from these."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..llm.provider import Message
from ..web.schemas import EndUser, Money

MAX_CHARACTERS = 100_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_members(cls, data: object) -> object:
        if isinstance(data, dict) and len(data) > 20:
            raise ValueError("too many members")  # each would be an error of its own
        return data


class ChatMessage(_Input):
    role: Literal["system", "user", "assistant"]
    content: str


class PaidRequest(_Input):
    """Members of every paid request."""

    max_tokens: Annotated[int, Field(ge=1, description="At most LLM_MAX_TOKENS, which is the default")] | None = None
    end_user: EndUser | None = None


class ChatRequest(PaidRequest):
    """Either `prompt` or `messages`, with 1 to 100,000 characters in all."""

    prompt: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1_000, fail_fast=True)] | None = None
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _one_conversation(self) -> "ChatRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either prompt or messages")
        if not 1 <= sum(len(message.content) for message in self.conversation) <= MAX_CHARACTERS:
            raise ValueError(f"all contents together must have 1 to {MAX_CHARACTERS} characters")
        return self

    @property
    def conversation(self) -> tuple[Message, ...]:
        if self.messages is None:
            return (Message("user", self.prompt or ""),)
        return tuple(Message(message.role, message.content) for message in self.messages)


class SummarizeRequest(PaidRequest):
    text: Text


class AgentRequest(_Input):
    """A task, and the USD that its run may cost."""

    task: Text
    limit: Annotated[str, Field(pattern=r"^[0-9]{1,10}(\.[0-9]{1,8})?$")]
    end_user: EndUser | None = None


class TokenUsage(BaseModel):
    input_tokens: int
    output_tokens: int


class RemainingBudget(BaseModel):
    remaining: Money | None
    """The least over the ledgers of the call, null if unknown."""


class StreamEnd(BaseModel):
    """The data of `event: done`."""

    model: str
    finish_reason: str | None
    """The provider's word for why the text ended: `stop`, `length`, `content_filter`, ... Null if it gave none."""
    usage: TokenUsage
    cost: Money
    budget: RemainingBudget


class Answer(StreamEnd):
    reply: str


Stopped = Literal["run_limit_exceeded", "budget_exceeded", "max_steps", "provider_error"]


class AgentAnswer(BaseModel):
    """What a run has done. `stopped` says why it ended early, null if the task is done."""

    reply: str
    """All texts of the model."""
    steps: int
    stopped: Stopped | None
    cost: Money
    limit: Money
