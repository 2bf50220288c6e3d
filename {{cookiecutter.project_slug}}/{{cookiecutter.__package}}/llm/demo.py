"""The demo provider: plays the vendor's API without key and network. The same prompt gets the same text."""

import asyncio
import base64
import hashlib
import json
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from .answers import as_dict, as_list, as_text
from .metering import count_tokens
from .provider import Answer

REPLY = (
    "This is the demo provider, so no model has read your {words} words. "
    "Before this answer started, its highest possible price was held from your budget. "
    "When it ends, only the tokens that were written are charged, and the rest is free again. "
    "Set a key for a real provider whenever you like; nothing else has to change."
)
ANSWERS: dict[str, Any] = json.loads(Path(__file__).with_name("demo.json").read_text("utf-8"))
"""By path: a whole answer, and the events of a stream. Texts that begin with $ stand for values."""
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
DIMENSIONS = 8


class DemoVendor:
    """Accepts any model name. Streams with `delay` seconds after each word.

    Reports the tokens of `count_tokens`, so that a stream that is cut costs exactly what was delivered.
    Calls each tool once, with the examples of its parameters.
    """

    def __init__(self, delay: float = 0.04) -> None:
        self._delay = delay

    @asynccontextmanager
    async def ask(
        self, path: str, body: bytes, _: Mapping[str, str] | None = None, sent: Callable[[], object] = bool
    ) -> AsyncIterator[Answer]:
        """Answer one request."""
        asked, answer = json.loads(body), ANSWERS[path.partition("?")[0]]
        sent()
        values, words = _values(asked, answer)
        if asked.get("stream"):
            yield Answer({"Content-Type": "text/event-stream"}, self._events(answer, values, words))
        else:
            yield Answer({"Content-Type": "application/json"}, _once(json.dumps(values["$whole"]).encode()))

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""

    async def _events(
        self, answer: dict[str, Any], values: dict[str, Any], words: Iterable[str]
    ) -> AsyncIterator[bytes]:
        numbers = count()
        for name, word in [("start", ""), *(("text" if word else "call", word) for word in words), ("end", "")]:
            for event in answer[name]:
                filled = _filled(event, {**values, "$word": word, "$number": next(numbers)})
                head = f"event: {filled['type']}\n" if "type" in filled else ""
                yield f"{head}data: {filled if isinstance(filled, str) else json.dumps(filled)}\n\n".encode()
            if word:
                await asyncio.sleep(self._delay)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {name: _filled(each, values) for name, each in template.items()}
    if isinstance(template, list):
        return [_filled(each, values) for each in template]
    return values.get(template, template) if isinstance(template, str) else template


def _values(asked: dict[str, Any], answer: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what an answer is filled with, and the words of its text: for a call of a tool an empty one."""
    texts = _texts(asked)
    call = _call_of(asked) if "call" in answer else None
    text = call["$name"] + call["$arguments"] if call else REPLY.format(words=sum(len(each.split()) for each in texts))
    shown = text[: 4 * next((asked[name] for name in LIMITS if asked.get(name)), len(text))]  # ASCII: 4 bytes a token
    read, written = sum(map(count_tokens, texts)), count_tokens(shown)
    values = {"$model": asked["model"], "$text": shown, "$read": read, "$written": written, "$total": read + written}
    if "$embeddings" in answer["whole"].values():
        values["$embeddings"] = [_embedding(*each, asked.get("encoding_format")) for each in enumerate(texts)]
    if call:
        values |= call | {"$arguments": shown[len(call["$name"]) :]}
    values |= answer.get("ends", {}).get("call" if call else "stop" if shown == text else "length", {})
    values["$whole"] = _filled(answer["called" if call else "whole"], values)
    return values, [""] if call else re.findall(r"\S+\s*", shown)


def _texts(asked: dict[str, Any]) -> list[str]:
    """Return the texts of the input: of messages, of tools and their calls, or those to embed."""
    said = as_list(asked.get("messages")) + as_list(asked.get("input"))
    texts = [as_text(asked.get(name)) for name in ("system", "instructions", "input")]
    texts += [as_text(each.get("content")) if isinstance(each, dict) else str(each) for each in said]
    for each in (asked, *map(as_dict, said)):
        texts += map(json.dumps, as_list(each.get("tools")) + as_list(each.get("tool_calls")))
    return list(filter(None, texts))


def _call_of(asked: dict[str, Any]) -> dict[str, Any] | None:
    """Return a call of the next tool, None after the last one or if its parameters lack examples."""
    try:
        tools = asked["tools"]
        made = len(re.findall('"tool_(?:call|use)_id": ', json.dumps(asked.get("messages"))))
        function = tools[made].get("function", tools[made])
        parameters = (function.get("parameters") or function["input_schema"])["properties"]
        arguments = {name: schema["examples"][0] for name, schema in parameters.items()}
        call = {"$id": f"call-{made}", "$name": str(function["name"]), "$input": arguments}
    except (AttributeError, LookupError, TypeError):
        return None
    return call | {"$arguments": json.dumps(arguments)}


def _embedding(index: int, text: str, form: Any) -> dict[str, Any]:
    """Return the embedding of a text. The same text gets the same one."""
    vector = [byte / 255 for byte in hashlib.sha256(json.dumps(text).encode()).digest()[:DIMENSIONS]]
    packed = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode()
    return {"object": "embedding", "index": index, "embedding": packed if form == "base64" else vector}
