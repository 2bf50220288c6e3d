"""OpenAI's chat completions, through its SDK."""

from typing import Any

import openai
from openai.types import CompletionUsage

from .provider import AnsweredBy, Completion, Delta, ProviderError, Request, Stream, Usage

# The SDK does not validate a 200: anything may be missing from it.
_ERRORS = (openai.OpenAIError, AttributeError, LookupError, TypeError, ValueError)


class OpenAIProvider:
    """OpenAI, or a compatible server at `base_url`. `read_timeout` is in seconds without a byte."""

    def __init__(self, api_key: str, base_url: str | None = None, read_timeout: float = 60.0) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=openai.Timeout(read_timeout, connect=5.0),
            max_retries=0,  # a hold covers one request
        )

    async def complete(self, request: Request) -> Completion:
        try:
            answer = await self._client.chat.completions.create(**_arguments(request))
            usage = _usage(answer.usage) if answer.usage else None
            is_empty = usage is not None and not answer.choices  # but billed
            text = "" if is_empty else _text(answer.choices[0].message.content)
            return Completion(text, getattr(answer, "model", None) or request.model, usage)
        except _ERRORS as error:
            raise _provider_error(error) from None

    async def stream(self, request: Request) -> Stream:
        usage, named, finished = None, False, False
        try:
            chunks = await self._client.chat.completions.create(
                **_arguments(request), stream=True, stream_options={"include_usage": True}
            )
            async with chunks:
                async for chunk in chunks:
                    if not named and (model := getattr(chunk, "model", None)):
                        named = True
                        yield AnsweredBy(model)
                    for choice in chunk.choices:
                        finished = finished or choice.finish_reason is not None
                        # compatible servers stream the model's thinking by this name
                        if thinking := _text(getattr(choice.delta, "reasoning_content", None)):
                            yield Delta(thinking, hidden=True)
                        if text := _text(choice.delta.content):
                            yield Delta(text)
                    if chunk.usage:
                        usage = _usage(chunk.usage)
                        yield usage
        except _ERRORS as error:
            raise _provider_error(error, usage) from None
        if not finished:
            raise ProviderError("unreachable", "the model provider's stream broke off", usage)

    async def aclose(self) -> None:
        await self._client.close()


def _arguments(request: Request) -> dict[str, Any]:
    return {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_completion_tokens": request.max_tokens,
    }


def _text(content: Any) -> str:
    """Return the text of a message. Some servers send parts: `[{"type": "text", "text": "Hello"}, ...]`."""
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    return "".join(part.get("text", "") for part in parts)


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    cached, written = (details.cached_tokens, details.cache_write_tokens) if details else (0, 0)
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached or 0, written or 0)


def _provider_error(error: Exception, usage: Usage | None = None) -> ProviderError:
    # Raise it `from None`: the SDK's message may repeat the key, and tracebacks are logged.
    match error:
        case openai.APITimeoutError():
            return ProviderError("timeout", "the model provider did not answer in time", usage)
        case openai.APIConnectionError():
            return ProviderError("unreachable", "no connection to the model provider", usage)
        case openai.APIStatusError():
            return ProviderError.from_status(error.status_code, usage)
        case _:
            return ProviderError("failed", f"invalid answer of the model provider ({type(error).__name__})", usage)
