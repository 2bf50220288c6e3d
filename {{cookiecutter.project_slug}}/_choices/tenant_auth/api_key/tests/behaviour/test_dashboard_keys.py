"""A tenant's people sign in to its page by an API key."""

import httpx

from ..browsing import LOGIN, browser, hidden_fields
from ..running import App


def enter(client: httpx.Client, key: str) -> int:
    return client.post(LOGIN, data={**hidden_fields(client.get(LOGIN)), "api_key": key}).status_code


def test_a_key_opens_its_tenants_page_until_it_is_revoked(app: App, stranger: httpx.Client) -> None:
    tenant = app.add_tenant()["id"]
    key = app.done("keys", "add", tenant)
    assert enter(stranger, key["api_key"]) == 303
    assert stranger.get(f"/dashboard/tenants/{tenant}").status_code == 200
    assert stranger.get("/dashboard/tenants/acme").status_code == 404
    assert key["api_key"] not in stranger.get(f"/dashboard/tenants/{tenant}").text
    app.done("keys", "revoke", tenant, key["key_id"])
    assert stranger.get(f"/dashboard/tenants/{tenant}").status_code == 303


def test_guessed_keys_are_refused_and_slowed_down(installed: App) -> None:
    with installed.serving() as app, browser(app) as client:
        guesses = [enter(client, f"rck_abcdefgh_{number:043}") for number in range(6)]
        assert guesses == [401] * 5 + [429]
        assert client.get("/dashboard/").status_code == 303
