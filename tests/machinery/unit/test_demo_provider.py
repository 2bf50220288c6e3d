import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from {{ cookiecutter.__package }}.core.provider_settings import ProviderSettings
from {{ cookiecutter.__package }}.llm import metering, provider
from {{ cookiecutter.__package }}.llm.providers import make_provider

DEMO = make_provider(ProviderSettings(llm_provider="demo", demo_delay_ms=0))
STOPPED, CUT = ("stop", "end_turn"), ("length", "max_tokens")  # by vendor
PROMPTS = ("", "Hello", "a {curly} one", "\N{SNOWMAN} in two words", "x" * 100_000, "half \ud83d an emoji")


def request(prompt: str, max_tokens: int = 1_024) -> provider.Request:
    return provider.Request("any-model", (provider.Message("user", prompt),), max_tokens)


def answer(
    asked: provider.Request, sent: Callable[[], object] = int, *, paced: bool = False
) -> tuple[str, provider.Tokens, str | None]:
    """The text of a call, what it used, and why it ended."""
    meter = metering.Meter(asked)

    async def main() -> str:
        items = [item async for item in DEMO.stream(asked, sent, paced=paced)]
        for item in items:
            meter.add(item)
        return "".join(item.text for item in items if provider.is_shown(item))

    return asyncio.run(main()), meter.usage, meter.finish_reason


def test_the_same_prompt_gets_the_same_reply_and_another_prompt_another() -> None:
    assert answer(request("Hello")) == answer(request("Hello"))
    assert answer(request("Hello")) != answer(request("Good morning to you"))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_reply_has_40_to_60_words_and_more_than_40_tokens(prompt: str) -> None:
    asked = list[str]()
    text, used, reason = answer(request(prompt), lambda: asked.append("asked"))
    assert 40 <= len(text.split()) <= 60
    assert used.output_tokens > 40
    assert (reason in STOPPED, asked) == (True, ["asked"])


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("max_tokens", [1, 2, 40])
def test_max_tokens_cuts_a_reply_exactly(prompt: str, max_tokens: int) -> None:
    text, used, reason = answer(request(prompt, max_tokens))
    assert used.output_tokens == metering.count_tokens(text) == max_tokens
    assert reason in CUT


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("max_tokens", [1, 40, 200])
def test_a_stream_says_and_uses_what_the_plain_answer_does(prompt: str, max_tokens: int) -> None:
    assert answer(request(prompt, max_tokens), paced=True) == answer(request(prompt, max_tokens))


@pytest.mark.parametrize("paced", [False, True])
def test_a_tool_is_called_once_with_the_examples_of_its_parameters(*, paced: bool) -> None:
    tool = provider.Tool("add", "Add", {"type": "object", "properties": {"a": {"type": "integer", "examples": [2]}}})
    asked = provider.Request("any-model", (provider.Message("user", "Hello"),), 100, (tool,))

    async def ask(messages: tuple[provider.Message, ...]) -> provider.Message:
        request = replace(asked, messages=messages)
        return provider.message_of([item async for item in DEMO.stream(request, int, paced=paced)])

    async def main() -> tuple[provider.Message, provider.Message]:
        calling = await ask(asked.messages)
        result = provider.Message("tool", "3", call_id=calling.tool_calls[0].id)
        return calling, await ask((*asked.messages, calling, result))

    calling, last = asyncio.run(main())
    assert [(call.name, call.arguments) for call in calling.tool_calls] == [("add", '{"a": 2}')]
    assert (bool(last.content), last.tool_calls) == (True, ())
