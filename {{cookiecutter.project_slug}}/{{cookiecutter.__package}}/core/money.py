"""Amounts of money: USD as text for people, microcents (1 USD = 10^8) for Cycles."""

import re

UNIT = "USD_MICROCENTS"
MICROCENTS_PER_USD = 10**8
MAX_MICROCENTS = 2**63 - 1  # Cycles amounts are int64

_USD = re.compile(r"(\d+)(?:\.(\d{1,8}))?", re.ASCII)


def parse_usd(text: str) -> int:
    """Return the microcents of an amount in USD like `5`, `5.00` or `0.00000001`. Raises ValueError."""
    match = _USD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount in USD like 5.00 (no sign, at most 8 decimals)")
    whole, decimals = match.group(1).lstrip("0"), match.group(2) or ""
    if len(whole) > len(str(MAX_MICROCENTS)):  # before int(), which limits digits too
        raise ValueError(_too_much(text[:20] + "..."))
    microcents = int(whole or "0") * MICROCENTS_PER_USD + int(decimals.ljust(8, "0"))
    if microcents > MAX_MICROCENTS:
        raise ValueError(_too_much(text))
    return microcents


def format_usd(microcents: int) -> str:
    """Return an exact amount in USD with at least two decimals: `5.00`, `-0.000128`."""
    whole, rest = divmod(abs(microcents), MICROCENTS_PER_USD)
    decimals = f"{rest:08d}".rstrip("0").ljust(2, "0")
    return f"{'-' if microcents < 0 else ''}{whole}.{decimals}"


def _too_much(text: str) -> str:
    return f"{text!r} is too large for a budget: at most {format_usd(MAX_MICROCENTS)} USD"
