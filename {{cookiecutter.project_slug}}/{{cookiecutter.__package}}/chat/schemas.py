"""What the example routes take and give. Both frameworks build their OpenAPI from these."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..llm.provider import Message
from ..web.schemas import Money

MOST_CHARACTERS = 100_000

Text = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
EndUser = Annotated[
    str,
    # no control characters: databases refuse NUL, and logs and pages need none of them
    Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$", description="Whom the call is for"),
]
MaxTokens = Annotated[int, Field(ge=1, description="At most LLM_MAX_TOKENS, which is also the default")]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChatMessage(_Input):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(_Input):
    """Either `prompt` or `messages`; all contents together 1 to 100,000 characters."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "What is a budget?"}]})

    prompt: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    max_tokens: MaxTokens | None = None
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    end_user: EndUser | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _one_conversation(self) -> "ChatRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either prompt or messages")
        if not 1 <= sum(len(message.content) for message in self.conversation) <= MOST_CHARACTERS:
            raise ValueError(f"all contents together must have 1 to {MOST_CHARACTERS} characters")
        return self

    @property
    def conversation(self) -> tuple[Message, ...]:
        if self.messages is None:
            return (Message("user", self.prompt or ""),)
        return tuple(Message(message.role, message.content) for message in self.messages)


class SummarizeRequest(_Input):
    text: Text
    max_tokens: MaxTokens | None = None
    end_user: EndUser | None = None


class TokenUsage(BaseModel):
    input_tokens: int
    output_tokens: int


class BudgetLeft(BaseModel):
    remaining: Money | None
    """What the tightest ledger of the call has left; null only where the engine did not tell."""


class StreamEnd(BaseModel):
    """The data of `event: done`."""

    model: str
    usage: TokenUsage
    cost: Money
    budget: BudgetLeft


class Answer(StreamEnd):
    reply: str
