"""Invalid credentials that look like a tenant's."""

from .running import App


def strangers(app: App, tenant: str) -> dict[str, list[tuple[str, str]]]:
    """Return headers by what is wrong with them. Every route must answer 401."""
    revoked = app.done("keys", "add", tenant, "--name", "revoked")
    app.done("keys", "revoke", tenant, revoked["key_id"])
    live = app.done("keys", "add", tenant, "--name", "live")["api_key"]
    return {
        "nonsense": [("Authorization", "Bearer nonsense")],
        "a key that nobody made": [("Authorization", f"Bearer {live[:-43]}{'A' * 43}")],
        "another scheme": [("Authorization", f"Basic {live}")],
        "a key in another place": [("X-API-Key", live)],
        "two keys": [("Authorization", f"Bearer {live}")] * 2,
        "a key that goes on": [("Authorization", f"Bearer {live}{'x' * 20_000}")],
        "a revoked key": [("Authorization", f"Bearer {revoked['api_key']}")],
    }
