"""The vendors' own clients and agent frameworks against the provider's API, with base URL and key alone.

Copied into a generated project, whose environment has the clients installed then: see tests/test_generated.py.
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from ..running import App, free_port
from ..vendor import Vendor
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


def response(text: str = "Hi there") -> dict[str, Any]:
    """A whole answer of /responses."""
    said = {"type": "output_text", "text": text, "annotations": []}
    output = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
    usage: dict[str, Any] = {"input_tokens": 20, "output_tokens": 8, "total_tokens": 28}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    about = {"id": "resp_1", "object": "response", "created_at": 1, "model": MODEL, "status": "completed"}
    about |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return {**about, "output": [output], "usage": usage}


def response_events(*texts: str) -> list[dict[str, Any]]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [{"type": "response.output_text.delta", **place, "delta": text} for text in texts]
    started = {**response(), "status": "in_progress", "output": [], "usage": None}
    events = [{"type": "response.created", "response": started}, *deltas]
    events += [{"type": "response.completed", "response": response("".join(texts))}]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


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


@openai_only
def test_openai_responses_and_embeddings(serving: App, vendor: Vendor, rich: str) -> None:
    with openai_client(serving, rich) as client:
        vendor.plays(body=response())
        answer = client.responses.create(model=MODEL, input="Hello")
        assert answer.output_text == "Hi there"
        assert answer.usage
        assert (answer.usage.model_extra or {})["cost"] > 0
        vendor.plays(*response_events("Hi ", "there"))
        stream = client.responses.create(model=MODEL, input="Hello", stream=True)
        assert [event.delta for event in stream if event.type == "response.output_text.delta"] == ["Hi ", "there"]
        told = {"prompt_tokens": 2, "total_tokens": 2}
        data = [{"object": "embedding", "index": 0, "embedding": "AACAPwAAAEA="}]
        vendor.plays(body={"object": "list", "model": MODEL, "data": data, "usage": told})
        found = client.embeddings.create(model=MODEL, input=["Hello"])
        assert found.data[0].embedding == [1.0, 2.0]
        assert (found.usage.model_extra or {})["cost"] > 0


# Each client asks `prompt` with its defaults, and returns the text of the answer.
Client = Callable[[App, str, str], str]


def prompts(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def with_openai(app: App, key: str, prompt: str) -> str:
    with openai_client(app, key) as client:
        answer = client.chat.completions.create(model=MODEL, messages=prompts(prompt))
        return str(answer.choices[0].message.content)


def with_openai_async(app: App, key: str, prompt: str) -> str:
    async def call() -> str:
        async with openai.AsyncOpenAI(base_url=f"{app.url}/v1", api_key=key) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=prompts(prompt))
            return str(answer.choices[0].message.content)

    return asyncio.run(call())


def with_openai_streamed(app: App, key: str, prompt: str) -> str:
    with openai_client(app, key) as client:
        stream = client.chat.completions.create(model=MODEL, messages=prompts(prompt), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def with_anthropic(app: App, key: str, prompt: str) -> str:
    with anthropic_client(app, key) as client:
        answer = client.messages.create(model=MODEL, messages=prompts(prompt), max_tokens=50)
        return getattr(answer.content[0], "text", "")


def with_anthropic_async(app: App, key: str, prompt: str) -> str:
    async def call() -> str:
        async with anthropic.AsyncAnthropic(base_url=app.url, api_key=key) as client:
            answer = await client.messages.create(model=MODEL, messages=prompts(prompt), max_tokens=50)
            return getattr(answer.content[0], "text", "")

    return asyncio.run(call())


def with_anthropic_streamed(app: App, key: str, prompt: str) -> str:
    with (
        anthropic_client(app, key) as client,
        client.messages.stream(model=MODEL, messages=prompts(prompt), max_tokens=50) as stream,
    ):
        return "".join(stream.text_stream)


def with_langchain(app: App, key: str, prompt: str) -> str:
    from langchain_openai import ChatOpenAI

    return str(ChatOpenAI(model=MODEL, base_url=f"{app.url}/v1", api_key=key).invoke(prompt).content)


def with_langchain_streamed(app: App, key: str, prompt: str) -> str:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL, base_url=f"{app.url}/v1", api_key=key)
    return "".join(str(part.content) for part in model.stream(prompt))


def with_agents(app: App, key: str, prompt: str, model: str = "OpenAIChatCompletionsModel") -> str:
    import agents

    agents.set_tracing_disabled(True)

    async def call() -> str:
        async with openai.AsyncOpenAI(base_url=f"{app.url}/v1", api_key=key) as client:
            agent = agents.Agent(name="a", model=getattr(agents, model)(model=MODEL, openai_client=client))
            return str((await agents.Runner.run(agent, prompt)).final_output)

    return asyncio.run(call())


def with_agents_by_default(app: App, key: str, prompt: str) -> str:
    return with_agents(app, key, prompt, "OpenAIResponsesModel")


def with_pydantic_ai(app: App, key: str, prompt: str) -> str:
    import pydantic_ai

    model: Any
    if IS_OPENAI:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{app.url}/v1", api_key=key))
    else:
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = anthropic.AsyncAnthropic(base_url=app.url, api_key=key)
        model = AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))
    return str(asyncio.run(pydantic_ai.Agent(model).run(prompt)).output)


STREAM = (*chunks("Hi ", "there"), b"[DONE]") if IS_OPENAI else tuple(message_events("Hi ", "there"))
WHOLE = completion() if IS_OPENAI else message()
OPENAI: dict[Client, Any] = {
    with_openai: WHOLE,
    with_openai_async: WHOLE,
    with_openai_streamed: STREAM,
    with_langchain: WHOLE,
    with_langchain_streamed: STREAM,
    with_agents: WHOLE,
    with_agents_by_default: response(),
    with_pydantic_ai: WHOLE,
}
ANTHROPIC: dict[Client, Any] = {
    with_anthropic: WHOLE,
    with_anthropic_async: WHOLE,
    with_anthropic_streamed: STREAM,
    with_pydantic_ai: STREAM,  # it streams every call
}
CLIENTS = OPENAI if IS_OPENAI else ANTHROPIC
"""Clients, and what the vendor plays for them."""


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_client_works_with_base_url_and_key_alone(serving: App, vendor: Vendor, rich: str, client: Client) -> None:
    scene = CLIENTS[client]
    vendor.plays(*scene) if isinstance(scene, tuple) else vendor.plays(body=scene)
    assert client(serving, rich, "Hello") == "Hi there"


def seen(client: Client, app: App, key: str, why: str) -> int:
    """Return the status that the user of a client sees, in an error of the SDK's that says why."""
    from pydantic_ai.exceptions import ModelHTTPError

    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError, ModelHTTPError), match=why) as caught:
        client(app, key, client.__name__)
    return caught.value.status_code


def all_seen(app: App, key: str, why: str) -> dict[str, int]:
    """Let all clients ask at once."""
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        found = pool.map(lambda client: seen(client, app, key, why), CLIENTS)
        return {client.__name__: each for client, each in zip(CLIENTS, found, strict=True)}


def each(status: int) -> dict[str, int]:
    return {client.__name__: status for client in CLIENTS}


def tries(vendor: Vendor) -> dict[str, int]:
    """How often each client has asked the vendor."""
    bodies = [json.dumps(body) for body in vendor.asked]
    return {client.__name__: sum(f'"{client.__name__}"' in body for body in bodies) for client in CLIENTS}


def answers(app: App, status: int) -> int:
    try:
        return int(app.metric(f'http_requests_total{{status="{status}"}}'))
    except StopIteration:
        return 0


def test_no_client_retries_a_spent_budget_and_each_says_what_the_call_needs(
    serving: App, vendor: Vendor, poor: str
) -> None:
    asked, before = len(vendor.asked), answers(serving, 402)
    assert all_seen(serving, poor, r"This call needs up to \$") == each(402)
    assert answers(serving, 402) - before == len(CLIENTS)
    assert len(vendor.asked) == asked


@pytest.mark.parametrize(
    ("status", "ours", "why"), [(429, 429, "Too many requests"), (500, 502, "provider did not answer")]
)
def test_each_client_retries_the_vendors_limit_and_failure_twice(
    serving: App, vendor: Vendor, rich: str, status: int, ours: int, why: str
) -> None:
    vendor.plays(body={"error": {"message": "no"}}, status=status, headers={"Retry-After": "1"})
    before = tries(vendor)
    assert all_seen(serving, rich, why) == each(ours)
    assert {name: times - before[name] for name, times in tries(vendor).items()} == each(3)


@pytest.mark.parametrize(
    ("broken", "ours", "why"), [("vendor", 502, "provider did not answer"), ("Cycles", 503, "budget cannot be checked")]
)
def test_each_client_retries_an_outage_twice(
    installed: App, vendor: Vendor, rich: str, broken: str, ours: int, why: str
) -> None:
    nobody, asked = f"http://127.0.0.1:{free_port()}", len(vendor.asked)
    url, cycles = (nobody, {}) if broken == "vendor" else (vendor.url, {"CYCLES_BASE_URL": nobody})
    with replace(installed).serving(**settings(url), **cycles) as app:
        assert all_seen(app, rich, why) == each(ours)
        assert answers(app, ours) == 3 * len(CLIENTS)
    assert len(vendor.asked) == asked


def test_the_lines_in_the_docs_work(installed: App, rich: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == (4 if IS_OPENAI else 2)
    with replace(installed).serving(LLM_MODEL=MODEL, DEMO_DELAY_MS="0") as app:
        for block in blocks:
            exec(block.replace("http://127.0.0.1:8000", app.url).replace("KEY", rich), {})  # noqa: S102
            assert "This is the demo provider" in capsys.readouterr().out


@openai_only
def test_openai_of_npm(serving: App, vendor: Vendor, rich: str, poor: str) -> None:
    if "NODE_CLIENT" not in os.environ:
        pytest.skip("needs node and npm")

    def run(key: str, how: str) -> dict[str, Any]:
        command = ["node", os.environ["NODE_CLIENT"], f"{serving.url}/v1", key, MODEL, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    vendor.plays(body=completion())
    told = run(rich, "plain")
    assert (told["text"], told["cost"] > 0) == ("Hi there", True)
    vendor.plays(*STREAM)
    assert run(rich, "stream") == {"text": "Hi there"}
    before = answers(serving, 402)
    told = run(poor, "plain")
    assert (told["status"], told["code"], told["scope"] is not None) == (402, "budget_exceeded", True)
    assert "This call needs up to $" in told["message"]
    assert answers(serving, 402) == before + 1


def test_limits_are_what_was_held(vendor: Vendor) -> None:
    sent = [body for body in vendor.asked if "messages" in body and LIMIT in body]
    assert sent
    assert all(body[LIMIT] <= 100 for body in sent), json.dumps(sent[0])
