"""Amounts of money: USD as text for people, microcents (1 USD = 10^8) for Cycles."""

import re
from decimal import Decimal

UNIT = "USD_MICROCENTS"
MICROCENTS_PER_USD = 10**8
MAX_MICROCENTS = 2**63 - 1  # Cycles amounts are int64

_USD = re.compile(r"\d+(\.\d{1,8})?", re.ASCII)


def parse_usd(text: str) -> int:
    """Return the microcents of an amount in USD like `5`, `5.00` or `0.00000001`. Raise ValueError."""
    text = text.strip()
    if not _USD.fullmatch(text):
        raise ValueError(f"{text!r} is not an amount in USD like 5.00 (no sign, at most 8 decimals)")
    microcents = Decimal(text) * MICROCENTS_PER_USD
    if microcents > MAX_MICROCENTS:
        raise ValueError(f"{text[:20]!r} is too large for a budget: at most {format_usd(MAX_MICROCENTS)} USD")
    return int(microcents)


def format_usd(microcents: int) -> str:
    """Return an exact amount in USD with at least two decimals: `5.00`, `-0.000128`."""
    whole, rest = divmod(abs(microcents), MICROCENTS_PER_USD)
    decimals = f"{rest:08d}".rstrip("0").ljust(2, "0")
    return f"{'-' if microcents < 0 else ''}{whole}.{decimals}"
