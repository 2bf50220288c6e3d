"""What keeps a configuration from serving."""

from ..budget.prices import Prices
from ..core.config import Settings


def faults(settings: Settings) -> list[str]:
    """Return a line for each fault, by the names of `.env.example`."""
    return [fault for found in faults_by_concern(settings).values() for fault in found]


def faults_by_concern(settings: Settings) -> dict[str, list[str]]:
    """Return the same, by what they are about."""
    found = settings.faults_by_concern()
    for model in Prices.load(settings.llm_unlisted_price).missing(settings.models):
        found["models"].append(
            f"LLM_MODEL or LLM_ALLOWED_MODELS: there is no price for {model} in budget/prices.toml, "
            "and LLM_UNLISTED_PRICE does not state one"
        )
    return found
