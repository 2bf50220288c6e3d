"""OpenAI's chat completions, through its own SDK (openai 3.54, whose source was read for this)."""

from typing import Any

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessageParam

from .provider import AnsweredBy, Completion, Delta, Message, ProviderError, Request, Stream, Usage

# What reading a wrong answer raises: the SDK does not validate what a 200 brings, so anything may be missing.
_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)


class OpenAIProvider:
    """OpenAI, or whatever speaks its API at `base_url`. `read_timeout`: seconds without a byte."""

    def __init__(self, api_key: str, base_url: str | None = None, read_timeout: float = 60.0) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=openai.Timeout(read_timeout, connect=5.0),
            max_retries=0,  # one hold pays for one request
        )

    async def complete(self, request: Request) -> Completion:
        try:
            answer = await self._client.chat.completions.create(
                model=request.model,
                messages=[_param(message) for message in request.messages],
                max_completion_tokens=request.max_tokens,
            )
            usage = _usage(answer.usage) if answer.usage else None
            is_empty = usage is not None and not answer.choices  # paid for all the same
            text = "" if is_empty else _text(answer.choices[0].message.content)
            return Completion(text, getattr(answer, "model", None) or request.model, usage)
        except openai.OpenAIError as error:
            raise _provider_error(error) from None
        except _UNREADABLE as error:
            raise ProviderError("failed", "the model provider's answer is not readable") from error

    async def stream(self, request: Request) -> Stream:
        usage, named, finished = None, False, False
        try:
            chunks = await self._client.chat.completions.create(
                model=request.model,
                messages=[_param(message) for message in request.messages],
                max_completion_tokens=request.max_tokens,
                stream=True,
                stream_options={"include_usage": True},
            )
            async with chunks:
                async for chunk in chunks:
                    if not named and (model := getattr(chunk, "model", None)):
                        named = True
                        yield AnsweredBy(model)
                    for choice in chunk.choices:
                        finished = finished or choice.finish_reason is not None
                        # where a compatible server streams the model's thinking, it does so by this name
                        if thinking := _text(getattr(choice.delta, "reasoning_content", None)):
                            yield Delta(thinking, hidden=True)
                        if text := _text(choice.delta.content):
                            yield Delta(text)
                    if chunk.usage:
                        usage = _usage(chunk.usage)
                        yield usage
        except openai.OpenAIError as error:
            raise _provider_error(error, usage) from None
        except _UNREADABLE as error:
            raise ProviderError("failed", "the model provider's answer is not readable", usage) from error
        if not finished:
            raise ProviderError("unreachable", "the model provider's stream broke off", usage)

    async def aclose(self) -> None:
        await self._client.close()


def _param(message: Message) -> ChatCompletionMessageParam:
    match message.role:
        case "system":
            return {"role": "system", "content": message.content}
        case "user":
            return {"role": "user", "content": message.content}
        case "assistant":
            return {"role": "assistant", "content": message.content}


def _text(content: Any) -> str:
    """Some servers answer in parts: `[{"type": "text", "text": "Hello"}, ...]`."""
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    return "".join(part.get("text", "") for part in parts)


def _usage(told: CompletionUsage) -> Usage:
    details = told.prompt_tokens_details
    return Usage(
        told.prompt_tokens,
        told.completion_tokens,
        (details.cached_tokens or 0) if details else 0,
        (details.cache_write_tokens or 0) if details else 0,
    )


def _provider_error(error: openai.OpenAIError, usage: Usage | None = None) -> ProviderError:
    # To be raised `from None`: the SDK's message may repeat the key, and a logged traceback would show it.
    match error:
        case openai.APITimeoutError():
            return ProviderError("timeout", "the model provider did not answer in time", usage)
        case openai.APIConnectionError():
            return ProviderError("unreachable", "no connection to the model provider", usage)
        case openai.APIStatusError():
            return ProviderError.from_status(error.status_code, usage)
        case _:
            return ProviderError("failed", "the model provider failed within its answer", usage)
