"""Checks of the configuration before serving."""

from ..budget.prices import Prices
from ..core.config import Settings


def faults(settings: Settings) -> list[str]:
    """Return the faults of the settings that forbid serving, one line each."""
    unpriced = Prices.load().missing(settings.models)
    return settings.faults() + [
        f"LLM_MODEL or LLM_ALLOWED_MODELS: no price for {model}. Add it to budget/prices.toml" for model in unpriced
    ]
