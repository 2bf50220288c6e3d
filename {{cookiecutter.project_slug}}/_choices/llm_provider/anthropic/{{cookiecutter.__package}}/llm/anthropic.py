"""Anthropic's messages, through its SDK."""

from dataclasses import replace
from typing import Any

import anthropic
import httpx2
from anthropic.types import MessageDeltaUsage
from anthropic.types import Usage as MessageUsage

from .provider import AnsweredBy, Completion, Delta, ProviderError, Request, Stream, Usage

# The SDK does not validate a 200: anything may be missing. While streaming it passes on its HTTP client's errors.
_ERRORS = (anthropic.AnthropicError, httpx2.HTTPError, AttributeError, LookupError, TypeError, ValueError)


class AnthropicProvider:
    """Anthropic, or a compatible server at `base_url`. `read_timeout` is in seconds without a byte."""

    def __init__(self, api_key: str, base_url: str | None = None, read_timeout: float = 60.0) -> None:
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            timeout=anthropic.Timeout(read_timeout, connect=5.0),
            max_retries=0,  # a hold covers one request
        )

    async def complete(self, request: Request) -> Completion:
        try:
            answer = await self._client.messages.create(**_arguments(request))
            text = "".join(block.text for block in answer.content if block.type == "text")
            model = getattr(answer, "model", None) or request.model
            return Completion(text, model, _usage(answer.usage) if answer.usage else None)
        except _ERRORS as error:
            raise _provider_error(error) from None

    async def stream(self, request: Request) -> Stream:
        usage, finished = None, False
        try:
            events = await self._client.messages.create(**_arguments(request), stream=True)
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
        except _ERRORS as error:
            raise _provider_error(error, usage) from None
        if not finished:
            raise ProviderError("unreachable", "the model provider's stream broke off", usage)

    async def aclose(self) -> None:
        await self._client.close()


def _arguments(request: Request) -> dict[str, Any]:
    system = [message.content for message in request.messages if message.role == "system"]
    return {
        "model": request.model,
        "system": "\n\n".join(system) if system else anthropic.omit,
        "messages": [
            {"role": message.role, "content": message.content}
            for message in request.messages
            if message.role != "system" and message.content  # empty ones are refused
        ],
        "max_tokens": request.max_tokens,
    }


def _usage(usage: MessageUsage | MessageDeltaUsage) -> Usage:
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    # Anthropic does not count cached tokens as input tokens.
    return Usage((usage.input_tokens or 0) + read + written, usage.output_tokens, read, written)


def _later_usage(usage: MessageDeltaUsage, before: Usage | None) -> Usage:
    """Return the usage at the end of a stream, which may leave out the input tokens."""
    if before is None or usage.input_tokens:
        return _usage(usage)
    return replace(before, output_tokens=usage.output_tokens)


def _provider_error(error: Exception, usage: Usage | None = None) -> ProviderError:
    # Raise it `from None`: the SDK's message may repeat the key, and tracebacks are logged.
    match error:
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return ProviderError("timeout", "the model provider did not answer in time", usage)
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return ProviderError("unreachable", "no connection to the model provider", usage)
        case anthropic.APIStatusError() if error.status_code >= 400:
            return ProviderError.from_status(error.status_code, usage)
        case _:
            return ProviderError("failed", f"invalid answer of the model provider ({type(error).__name__})", usage)
