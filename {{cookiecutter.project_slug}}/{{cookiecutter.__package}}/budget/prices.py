"""Prices of calls: prices.toml in, microcents out (1 USD = 10^8). Decimals rounded up, never floats."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from unicodedata import normalize

from pydantic import BaseModel, ConfigDict, Field

from ..llm.provider import Message, Request, Usage

PRICES_FILE = Path(__file__).with_name("prices.toml")

# Providers add tokens around the contents: OpenAI and Anthropic 3 to 5 per message and up to 10 per call.
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_CALL = 16

_DATE_SUFFIX = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$", re.ASCII)


class UnknownModel(LookupError):
    """prices.toml has no price for a model."""


class Rates(BaseModel):
    """USD per million tokens. `cache_write` is None where cache writes cost the same as input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Decimal = Field(ge=0)
    cached_input: Decimal = Field(ge=0)
    cache_write: Decimal | None = Field(default=None, ge=0)
    output: Decimal = Field(ge=0)


class LongPrompt(Rates):
    """Rates of a whole call with more than `above` input tokens."""

    above: int


class Prices(BaseModel):
    """The table of prices.toml. `as_of` is the day when it was last compared with the providers' price lists.

    `unlisted` is the price of all models that the table does not list, None if they are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    models: Mapping[str, Rates]
    long_prompts: Mapping[str, LongPrompt] = {}
    unlisted: Rates | None = None

    @classmethod
    def load(cls, unlisted: tuple[Decimal, Decimal] | None = None, path: Path = PRICES_FILE) -> "Prices":
        """Read a table. `unlisted` is LLM_UNLISTED_PRICE: USD per million tokens of input and output.

        Raise OSError, tomllib.TOMLDecodeError or pydantic.ValidationError.
        """
        prices = cls.model_validate(tomllib.loads(path.read_bytes().decode(), parse_float=Decimal))
        if unlisted is None:
            return prices
        every_input, output = unlisted
        rates = Rates(input=every_input, cached_input=every_input, output=output)
        return prices.model_copy(update={"unlisted": rates})

    def rates_of(self, model: str, input_tokens: int = 0) -> Rates:
        """Return the rates of a call, found by the model's exact name, else by its name without a date at the end.

        `gpt-4.1-mini-2025-04-14` costs the same as `gpt-4.1-mini`; `gpt-4.1-mini-turbo` is unknown.
        Raise UnknownModel if the table has neither and there is no `unlisted` price.
        """
        name = self._listed(model)
        rates, long_prompt = self.models.get(name, self.unlisted), self.long_prompts.get(name)
        if rates is None:
            raise UnknownModel(f"prices.toml has no price for the model {model!r}")
        return long_prompt if long_prompt and input_tokens > long_prompt.above else rates

    def cost(self, model: str, usage: Usage) -> int:
        """Return the microcents for a call's usage, rounded up once, on the sum. Raise UnknownModel."""
        rates = self.rates_of(model, usage.input_tokens)
        cached, written = usage.cached_input_tokens, usage.cache_write_input_tokens
        write_rate = rates.input if rates.cache_write is None else rates.cache_write
        return _microcents(
            (usage.input_tokens - cached - written) * rates.input
            + cached * rates.cached_input
            + written * write_rate
            + usage.output_tokens * rates.output
        )

    def missing(self, models: Iterable[str]) -> list[str]:
        """Return the models that have no price."""
        return [model for model in models if self.unlisted is None and self._listed(model) not in self.models]

    def hold_for(self, request: Request) -> int:
        """Return the most microcents that `request` can cost: nothing is cached, or all is written to the cache.

        Raise UnknownModel.
        """
        tokens = most_tokens(request.messages)
        rates = self.rates_of(request.model, tokens)
        highest = max(rates.input, rates.cache_write or 0)
        return _microcents(tokens * highest + request.max_tokens * rates.output)

    def least_cost(self, models: Iterable[str]) -> int:
        """Return the microcents of the smallest hold for one of `models`: one letter, one token."""
        return min(self.hold_for(Request(model, (Message("user", "x"),), 1)) for model in models)

    def _listed(self, model: str) -> str:
        """Return the name to look a model up by."""
        return model if model in self.models else _DATE_SUFFIX.sub("", model)


def most_tokens(messages: Iterable[Message]) -> int:
    """Return the most input tokens that messages can have: a byte-level BPE makes at least one byte of every token."""
    return _TOKENS_PER_CALL + sum(_TOKENS_PER_MESSAGE + _most_bytes(message.content) for message in messages)


def _microcents(usd_per_million_tokens: Decimal) -> int:
    # 10^8 microcents per USD / 10^6 tokens = 100
    return int((usd_per_million_tokens * 100).to_integral_value(ROUND_CEILING))


def _most_bytes(text: str) -> int:
    """Return the UTF-8 bytes of the text or of its NFKC form, which some tokenizers use, whichever is longer."""
    return max(len(form.encode("utf-8", "surrogatepass")) for form in (text, normalize("NFKC", text)))
