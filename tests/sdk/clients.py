"""The vendors' own clients and agent frameworks against the provider's API, with base URL and key alone.

Copied into a generated project, whose environment has the clients installed then: see tests/test_generated.py.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from ..running import App
from ..vendor import Vendor, run_vendor
from ..wire import API, LIMIT, MODEL, settings

IS_OPENAI = API == "/chat/completions"
openai_only = pytest.mark.skipif(not IS_OPENAI, reason="speaks OpenAI's API")
anthropic_only = pytest.mark.skipif(IS_OPENAI, reason="speaks Anthropic's API")
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

pytestmark = pytest.mark.filterwarnings("default")


class City(BaseModel):
    city: str


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with run_vendor() as running:
        yield running


@pytest.fixture(scope="module")
def serving(installed: App, vendor: Vendor) -> Iterator[App]:
    with replace(installed).serving(**settings(vendor.url), LLM_READ_TIMEOUT="2", LLM_MAX_TOKENS="100") as app:
        yield app


@pytest.fixture(scope="module")
def rich(serving: App) -> str:
    return key_of(serving.add_tenant("5.00"))


@pytest.fixture(scope="module")
def poor(serving: App) -> str:
    return key_of(serving.add_tenant("0.00000010"))


def key_of(tenant: dict[str, Any]) -> str:
    return str(tenant["headers"]["Authorization"].removeprefix("Bearer "))


def completion(content: str | None = "Hi there", calls: list[Any] | None = None) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
    about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return {**about, "choices": [choice], "usage": usage}


def chunks(*texts: str) -> list[dict[str, Any]]:
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    parts = [{**about, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts]
    end = {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
    return [*parts, end, {**about, "choices": [], "usage": usage}]


def message(*content: dict[str, Any]) -> dict[str, Any]:
    blocks = list(content or [{"type": "text", "text": "Hi there"}])
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": blocks}
    reason = "tool_use" if blocks[0]["type"] == "tool_use" else "end_turn"
    return {**about, "stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 20, "output_tokens": 8}}


def message_events(*texts: str) -> list[dict[str, Any]]:
    started = {**message(), "content": [], "stop_reason": None}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": each}} for each in texts
    ]
    return [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 8}},
        {"type": "message_stop"},
    ]


def openai_client(app: App, key: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{app.url}/v1", api_key=key, **options)


def anthropic_client(app: App, key: str, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=app.url, api_key=key, **options)


@openai_only
def test_openai_plain_async_and_streamed(serving: App, vendor: Vendor, rich: str) -> None:
    vendor.plays(body=completion())
    with openai_client(serving, rich) as client:
        answer = client.chat.completions.create(model=MODEL, messages=HELLO, user="ada")
        assert answer.choices[0].message.content == "Hi there"
        assert answer.usage
        assert answer.usage.model_extra
        assert answer.usage.model_extra["cost"] > 0
        vendor.plays(*chunks("Hi ", "there"), b"[DONE]")
        stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hi there"
        asking = {"stream": True, "stream_options": {"include_usage": True}}
        *_, last = client.chat.completions.create(model=MODEL, messages=HELLO, **asking)  # type: ignore[call-overload]
        assert last.usage.model_extra["cost"] > 0
        assert [each.id for each in client.models.list()] == [MODEL]

    async def call() -> str | None:
        async with openai.AsyncOpenAI(base_url=f"{serving.url}/v1", api_key=rich) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
            return answer.choices[0].message.content

    vendor.plays(body=completion())
    assert asyncio.run(call()) == "Hi there"


@openai_only
def test_openai_tools_and_structured_output(serving: App, vendor: Vendor, rich: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    with openai_client(serving, rich) as client:
        vendor.plays(body=completion(None, [call]))
        asked = client.chat.completions.create(model=MODEL, messages=HELLO, tools=[tool]).choices[0].message
        assert asked.tool_calls
        vendor.plays(body=completion())
        told: list[Any] = [*HELLO, asked, {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"}]
        assert client.chat.completions.create(model=MODEL, messages=told, tools=[tool]).choices[0].message.content
        vendor.plays(body=completion('{"city": "Rome"}'))
        parsed = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=City)
        assert parsed.choices[0].message.parsed == City(city="Rome")


@anthropic_only
def test_anthropic_plain_async_and_streamed(serving: App, vendor: Vendor, rich: str) -> None:
    vendor.plays(body=message())
    with anthropic_client(serving, rich) as client:
        metadata: Any = {"user_id": "ada"}
        answer = client.messages.create(model=MODEL, messages=HELLO, max_tokens=50, metadata=metadata)
        assert answer.content[0].type == "text"
        assert answer.usage.model_extra
        assert answer.usage.model_extra["cost"] > 0
        vendor.plays(*message_events("Hi ", "there"))
        with client.messages.stream(model=MODEL, messages=HELLO, max_tokens=50) as stream:
            assert "".join(stream.text_stream) == "Hi there"
        assert [each.id for each in client.models.list()] == [MODEL]
        vendor.plays(body={"input_tokens": 9})
        assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens == 9

    async def call() -> str:
        async with anthropic.AsyncAnthropic(base_url=serving.url, api_key=rich) as client:
            return (await client.messages.create(model=MODEL, messages=HELLO, max_tokens=50)).content[0].type

    vendor.plays(body=message())
    assert asyncio.run(call()) == "text"


@anthropic_only
def test_anthropic_tools(serving: App, vendor: Vendor, rich: str) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
    tool: Any = {"name": "weather", "input_schema": WEATHER}
    with anthropic_client(serving, rich) as client:
        vendor.plays(body=message(use))
        asked = client.messages.create(model=MODEL, messages=HELLO, max_tokens=50, tools=[tool])
        assert asked.stop_reason == "tool_use"
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny"}
        told: list[Any] = [*HELLO, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        vendor.plays(body=message())
        assert client.messages.create(model=MODEL, messages=told, max_tokens=50, tools=[tool]).content


def ask(app: App, key: str, **options: Any) -> Any:
    if IS_OPENAI:
        with openai_client(app, key, **options) as client:
            return client.chat.completions.create(model=MODEL, messages=HELLO)
    with anthropic_client(app, key, **options) as client:
        return client.messages.create(model=MODEL, messages=HELLO, max_tokens=50)


def test_a_spent_budget_is_402_and_no_client_retries_it(serving: App, vendor: Vendor, poor: str) -> None:
    asked = len(vendor.asked)
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as refused:
        ask(serving, poor)
    assert refused.value.status_code == 402
    assert "This call needs up to $" in str(refused.value)
    assert len(vendor.asked) == asked


def test_clients_retry_429_and_an_outage_twice(serving: App, vendor: Vendor, rich: str) -> None:
    for status, ours in ((429, 429), (500, 502)):
        vendor.plays(body={"error": {"message": "no"}}, status=status, headers={"Retry-After": "1"})
        asked = len(vendor.asked)
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as failed:
            ask(serving, rich, max_retries=1)
        assert failed.value.status_code == ours
        assert len(vendor.asked) == asked + 2


@openai_only
def test_langchain(serving: App, vendor: Vendor, rich: str, poor: str) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    model = langchain_openai.ChatOpenAI(model=MODEL, base_url=f"{serving.url}/v1", api_key=rich, max_retries=0)
    vendor.plays(body=completion())
    assert model.invoke("Hello").content == "Hi there"
    vendor.plays(*chunks("Hi ", "there"), b"[DONE]")
    assert "".join(str(part.content) for part in model.stream("Hello")) == "Hi there"
    broke = langchain_openai.ChatOpenAI(model=MODEL, base_url=f"{serving.url}/v1", api_key=poor)
    with pytest.raises(openai.APIStatusError, match="This call needs up to"):
        broke.invoke("Hello")


@openai_only
def test_openai_agents(serving: App, vendor: Vendor, rich: str, poor: str) -> None:
    agents = pytest.importorskip("agents")
    agents.set_tracing_disabled(True)

    def run(key: str) -> Any:
        client = openai.AsyncOpenAI(base_url=f"{serving.url}/v1", api_key=key)
        model = agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
        return asyncio.run(agents.Runner.run(agents.Agent(name="a", model=model), "Hello")).final_output

    vendor.plays(body=completion())
    assert run(rich) == "Hi there"
    with pytest.raises(openai.APIStatusError, match="This call needs up to"):
        run(poor)


def test_pydantic_ai(serving: App, vendor: Vendor, rich: str, poor: str) -> None:
    ai = pytest.importorskip("pydantic_ai")

    def run(key: str) -> Any:
        if IS_OPENAI:
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            model: Any = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{serving.url}/v1", api_key=key))
        else:
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            client = anthropic.AsyncAnthropic(base_url=serving.url, api_key=key)
            model = AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))
        return asyncio.run(ai.Agent(model).run("Hello")).output

    if IS_OPENAI:
        vendor.plays(body=completion())
    else:
        vendor.plays(*message_events("Hi ", "there"))  # it streams every call
    assert run(rich) == "Hi there"
    with pytest.raises(Exception, match="402"):
        run(poor)


def test_limits_are_what_was_held(vendor: Vendor) -> None:
    sent = [body for body in vendor.asked if "messages" in body and LIMIT in body]
    assert sent
    assert all(body[LIMIT] <= 100 for body in sent), json.dumps(sent[0])
