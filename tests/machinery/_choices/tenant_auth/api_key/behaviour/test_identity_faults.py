"""A caller's key after an onboarding that was killed."""

import httpx
import pytest

from ..live import TAG
from ..places import ONBOARDING
from ..running import App
from .faults import kill
from .test_onboarding import status


@pytest.mark.parametrize("requests", [0, ONBOARDING - 1])
def test_onboarding_that_was_killed_shows_the_one_live_key_when_it_is_completed(
    app: App, api: httpx.Client, requests: int
) -> None:
    tenant = f"key-killed-{requests}{TAG}"
    command = ("tenants", "add", tenant, "--name", "Killed", "--budget", "5.00")
    kill(app, requests, *command)
    key = app.done(*command)["api_key"]
    assert status(api, {"headers": {"Authorization": f"Bearer {key}"}}) == 200
    listed = app.done("keys", "list", tenant)["keys"]
    assert [each["prefix"] for each in listed if each["revoked_at"] is None] == [key[:12]]
