"""Commands for API keys."""

from typing import Any

from ..tenants.keys import add_key, list_keys, revoke_key

VERBS = {"list": list_keys, "add": add_key, "revoke": revoke_key}
COMMANDS: dict[str, Any] = {"keys": ("Manage the API keys of a tenant's callers.", VERBS)}
