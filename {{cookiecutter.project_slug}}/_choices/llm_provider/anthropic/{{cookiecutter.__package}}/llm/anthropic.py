"""Anthropic's messages, through its own SDK (anthropic 2.12, whose source was read for this)."""

from dataclasses import replace

import anthropic
import httpx2
from anthropic.types import MessageDeltaUsage, MessageParam
from anthropic.types import Usage as MessageUsage

from .provider import AnsweredBy, Completion, Delta, Message, ProviderError, Request, Stream, Usage

# What reading a wrong answer raises: the SDK does not validate what a 200 brings, so anything may be missing.
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
# Within a stream the SDK lets the errors of its HTTP client through.
_SDK_ERRORS = (anthropic.AnthropicError, httpx2.HTTPError)


class AnthropicProvider:
    """Anthropic, or whatever speaks its API at `base_url`. `read_timeout`: seconds without a byte."""

    def __init__(self, api_key: str, base_url: str | None = None, read_timeout: float = 60.0) -> None:
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            timeout=anthropic.Timeout(read_timeout, connect=5.0),
            max_retries=0,  # one hold pays for one request
        )

    async def complete(self, request: Request) -> Completion:
        try:
            answer = await self._client.messages.create(
                model=request.model,
                system=_system(request),
                messages=_messages(request),
                max_tokens=request.max_tokens,
            )
            text = "".join(block.text for block in answer.content if block.type == "text")
            model = getattr(answer, "model", None) or request.model
            return Completion(text, model, _usage(answer.usage) if answer.usage else None)
        except _SDK_ERRORS as error:
            raise _provider_error(error) from None
        except _UNREADABLE as error:
            raise ProviderError("failed", "the model provider's answer is not readable") from error

    async def stream(self, request: Request) -> Stream:
        usage, finished = None, False
        try:
            events = await self._client.messages.create(
                model=request.model,
                system=_system(request),
                messages=_messages(request),
                max_tokens=request.max_tokens,
                stream=True,
            )
            async with events:
                async for event in events:
                    match event.type:
                        case "message_start":
                            yield AnsweredBy(getattr(event.message, "model", None) or request.model)
                            usage = _usage(event.message.usage)
                            yield usage
                        case "content_block_delta" if event.delta.type == "text_delta":
                            yield Delta(event.delta.text)
                        case "content_block_delta" if event.delta.type == "thinking_delta":
                            yield Delta(event.delta.thinking, hidden=True)
                        case "message_delta":
                            usage = _later_usage(event.usage, usage)
                            yield usage
                        case "message_stop":
                            finished = True
        except _SDK_ERRORS as error:
            raise _provider_error(error, usage) from None
        except _UNREADABLE as error:
            raise ProviderError("failed", "the model provider's answer is not readable", usage) from error
        if not finished:
            raise ProviderError("unreachable", "the model provider's stream broke off", usage)

    async def aclose(self) -> None:
        await self._client.close()


def _system(request: Request) -> str | anthropic.Omit:
    texts = [message.content for message in request.messages if message.role == "system"]
    return "\n\n".join(texts) if texts else anthropic.omit


def _messages(request: Request) -> list[MessageParam]:
    """Anthropic refuses empty ones."""
    return [_param(message) for message in request.messages if message.role != "system" and message.content]


def _param(message: Message) -> MessageParam:
    if message.role == "assistant":
        return {"role": "assistant", "content": message.content}
    return {"role": "user", "content": message.content}


def _usage(told: MessageUsage | MessageDeltaUsage) -> Usage:
    read, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
    # Anthropic's own input_tokens are those that no cache had to do with.
    return Usage((told.input_tokens or 0) + read + written, told.output_tokens, read, written)


def _later_usage(told: MessageDeltaUsage, before: Usage | None) -> Usage:
    """The end of a stream always repeats the output tokens, cumulative; the input tokens not always."""
    if before is None or told.input_tokens:
        return _usage(told)
    return replace(before, output_tokens=told.output_tokens)


def _provider_error(error: Exception, usage: Usage | None = None) -> ProviderError:
    # To be raised `from None`: the SDK's message may repeat the key, and a logged traceback would show it.
    match error:
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return ProviderError("timeout", "the model provider did not answer in time", usage)
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return ProviderError("unreachable", "no connection to the model provider", usage)
        case anthropic.APIStatusError() if error.status_code >= 400:
            return ProviderError.from_status(error.status_code, usage)
        case _:
            return ProviderError("failed", "the model provider failed within its answer", usage)
