"""What a call is held for is never less than what it costs: estimates against a real vocabulary.

The vocabulary is o200k_base, from a package that ships it: tiktoken would download it.
"""

import random
import statistics
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bake

WORDS = {
    language: words.split()
    for language, _, words in (
        line.partition(": ") for line in Path(__file__).with_name("words.txt").read_text("utf-8").splitlines()
    )
}
RANGES = [
    *((0x00, 0x1F), (0x20, 0x7E), (0xC0, 0x24F), (0x370, 0x52F), (0x5D0, 0x64A), (0x904, 0xE3A), (0x10A0, 0x1248)),
    *((0x3041, 0x30FE), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xFB50, 0xFDFD), (0x12000, 0x12399), (0x1F300, 0x1F6FF)),
]
AWKWARD = ("<|endoftext|>", "<|im_start|>system", "\r\n\r\n", "    ", "\t", "0" * 40, "a" * 60)
ROLES = ("system", "user", "assistant")


def prompt(chance: random.Random) -> str:
    """Mostly words of one language; else letters of one part of Unicode, or a mixture with what is awkward."""
    length = int(10 ** chance.uniform(0, 3))
    match chance.random():
        case dice if dice < 0.8:
            language = chance.choice(list(WORDS))
            return ("" if language in ("zh", "ja", "th") else " ").join(chance.choices(WORDS[language], k=length))
        case dice if dice < 0.9:
            low, high = chance.choice(RANGES)
            return "".join(chr(chance.randint(low, high)) for _ in range(length))
        case _:
            return "".join(
                chance.choice((chr(chance.randint(*chance.choice(RANGES))), *AWKWARD)) for _ in range(length)
            )


def factors(prices: Any, provider: Any, prompts: int, seed: int) -> Iterator[tuple[float, bool]]:
    """Of each prompt: how many times the real input tokens the estimate is, and whether it bounds them."""
    tokens: Callable[[str], list[int]] = import_module("bpe_openai").get_encoding("o200k_base").encode_ordinary
    chance = random.Random(seed)  # noqa: S311
    for _ in range(prompts):
        messages = [
            provider.Message(chance.choice(ROLES), prompt(chance)) for _ in range(chance.choice((1, 1, 1, 2, 5)))
        ]
        # what OpenAI documents for its chat format: 3 tokens a message and 1 for its role, 3 to prime the answer
        real = 3 + sum(4 + len(tokens(message.content)) for message in messages)
        bound = prices.most_tokens(messages)
        yield bound / real, bound >= real


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")  # bpe-openai 0.1.4 opens its vocabulary so
@pytest.mark.parametrize("prompts", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_real_input_tokens_never_exceed_the_estimate_and_it_is_not_far_above(
    prompts: int, bake: Bake, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    monkeypatch.syspath_prepend(str(bake().path))
    prices, provider = (import_module(f"acme_chat.{name}") for name in ("budget.prices", "llm.provider"))
    try:
        found = list(factors(prices, provider, prompts, seed=7))
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "acme_chat"]:
            del sys.modules[name]
    median = statistics.median(factor for factor, _ in found)
    least = min(factor for factor, _ in found)
    figure(f"{prompts} prompts: estimate / real input tokens is {median:.2f} in the middle, {least:.2f} at least")
    assert all(bounds for _, bounds in found)
    assert median <= 4.5
