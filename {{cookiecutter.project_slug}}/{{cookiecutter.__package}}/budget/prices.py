"""Prices of calls: prices.toml in, microcents out (1 USD = 10^8). Decimals rounded up, never floats."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Literal
from unicodedata import combining, normalize

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..llm.provider import Message, Request, Tokens, utf8_size

PRICES_FILE = Path(__file__).with_name("prices.toml")

# Providers add tokens around the contents: OpenAI and Anthropic 3 to 5 per message and up to 10 per call.
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_CALL = 16
# Anthropic puts up to 530 before the first tool, and as many for a format; OpenAI fewer.
_TOKENS_FOR_TOOLS = 1_000

_ASCII = re.compile(r"[\x00-\x7f]+")
# What gateways put around a model's name
_PREFIX = re.compile(r"^(openai|anthropic)/")
_SUFFIX = re.compile(r"(:latest|[-@](\d{8}|\d{4}-\d{2}-\d{2}))$", re.ASCII)
_STANDARD_TIERS = (None, "auto", "default", "on_demand", "standard")


class UnknownModel(LookupError):
    """prices.toml has no price for a model or its service tier."""


class Rates(BaseModel):
    """USD per million tokens. `cache_write` is None where cache writes cost the same as input.

    `cache_write_5m` and `cache_write_1h` are for writes that the request asked for, kept that long.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Decimal = Field(ge=0)
    cached_input: Decimal = Field(ge=0)
    cache_write: Decimal | None = Field(default=None, ge=0)
    cache_write_5m: Decimal | None = Field(default=None, ge=0)
    cache_write_1h: Decimal | None = Field(default=None, ge=0)
    output: Decimal = Field(ge=0)


class LongPrompt(Rates):
    """Rates of a whole call with more than `above` input tokens."""

    above: int


class Prices(BaseModel):
    """The table of prices.toml. `as_of` is the day when it was last compared with the providers' price lists.

    `images` is the most input tokens of an image, by model or for `any`.
    `unlisted` is the price of all models that the table does not list, None if they are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    models: Mapping[str, Rates]
    long_prompts: Mapping[str, LongPrompt] = {}
    images: Mapping[str, int] = {"any": 50_000}
    unlisted: Rates | None = None

    @classmethod
    def load(cls, path: Path = PRICES_FILE) -> "Prices":
        """Read a table.

        Raise OSError, or ValueError with one line that names the file and the place in it.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal))
        except ValidationError as error:
            fault = error.errors()[0]
            raise ValueError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
        except ValueError as error:  # a syntax error tells its line
            raise ValueError(f"{path}: {error}") from None

    def rates_of(self, model: str, input_tokens: int = 0, service_tier: str | None = None) -> Rates:
        """Return the rates of a call, found by the model's exact name, else without what gateways put around it.

        `gpt-4.1-mini-2025-04-14` costs the same as `gpt-4.1-mini`; `gpt-4.1-mini-turbo` is unknown. A tier other than
        the standard one follows the name: `gpt-4.1-mini priority`. Raise UnknownModel without a price, unless the table
        doesn't list the model and there is an `unlisted` price.
        """
        name = self._listed(model)
        unlisted = None if name in self.models else self.unlisted
        if service_tier not in _STANDARD_TIERS:
            name = f"{name} {service_tier}"
        rates, long_prompt = self.models.get(name, unlisted), self.long_prompts.get(name)
        if rates is None:
            raise UnknownModel(f"prices.toml has no price for the model {name!r}")
        return long_prompt if long_prompt and input_tokens > long_prompt.above else rates

    def cost(self, model: str, tokens: Tokens, service_tier: str | None = None) -> int:
        """Return the microcents for a call, rounded up once, on the sum. Raise UnknownModel."""
        rates = self.rates_of(model, tokens.input_tokens, service_tier)
        cached, written = tokens.cached_input_tokens, tokens.cache_write_input_tokens
        shortly, hour = tokens.cache_write_5m_input_tokens, tokens.cache_write_1h_input_tokens
        write = rates.input if rates.cache_write is None else rates.cache_write
        return _microcents(
            (tokens.input_tokens - cached - written) * rates.input
            + cached * rates.cached_input
            + (written - shortly - hour) * write
            + shortly * (write if rates.cache_write_5m is None else rates.cache_write_5m)
            + hour * (write if rates.cache_write_1h is None else rates.cache_write_1h)
            + tokens.output_tokens * rates.output
        )

    def missing(self, models: Iterable[str]) -> list[str]:
        """Return the models that have no price."""
        return [model for model in models if self.unlisted is None and self._listed(model) not in self.models]

    def hold_for(self, request: Request) -> int:
        """Return the most microcents that `request` can cost: nothing is cached, or all is written to the cache.

        Raise UnknownModel.
        """
        body = request.body
        images = body.images * self.images.get(self._listed(request.model), self.images["any"]) if body.images else 0
        tools = _TOKENS_FOR_TOOLS if request.tools or body.has_tools else 0
        tokens = most_tokens(request.billed) + body.most_tokens + images + tools
        rates = self.rates_of(request.model, tokens)
        writes = [rates.cache_write, *([rates.cache_write_5m, rates.cache_write_1h] if body.caches else [])]
        highest = max(rates.input, *(write or 0 for write in writes))
        return _microcents(tokens * highest + request.max_tokens * body.choices * rates.output)

    def least_cost(self, models: Iterable[str]) -> int:
        """Return the microcents of the smallest hold for one of `models`: one letter, one token."""
        return min(self.hold_for(Request(model, (Message("user", "x"),), 1)) for model in models)

    def _listed(self, model: str) -> str:
        """Return the name to look a model up by."""
        bare = _PREFIX.sub("", model)
        names = (model, bare, _SUFFIX.sub("", model), _SUFFIX.sub("", bare))
        return next((name for name in names if name in self.models), model)


def most_tokens(messages: Iterable[Message]) -> int:
    """Return the most input tokens that messages can have: a byte-level BPE makes at least one byte of every token."""
    return _TOKENS_PER_CALL + sum(_TOKENS_PER_MESSAGE + most_bytes(message.content) for message in messages)


def _microcents(usd_per_million_tokens: Decimal) -> int:
    # 10^8 microcents per USD / 10^6 tokens = 100
    return int((usd_per_million_tokens * 100).to_integral_value(ROUND_CEILING))


def most_bytes(text: str) -> int:
    """Return at least the UTF-8 bytes of the text and of its NFKC form, which some tokenizers use.

    Sums the forms of its characters: normalizing a run of combining marks takes quadratic time. Marks may keep an
    accent from joining its letter, so a text with any is counted as decomposed.
    """
    others = _ASCII.sub("", text)  # counting 20 MB of an image would block the event loop for 0.7 s
    counts = Counter(others)
    has_marks = any(combining(normalize("NFKD", character)[0]) for character in counts)
    form: Literal["NFKC", "NFKD"] = "NFKD" if has_marks else "NFKC"
    normalized = sum(count * utf8_size(normalize(form, character)) for character, count in counts.items())
    return len(text) - len(others) + max(utf8_size(others), normalized)
