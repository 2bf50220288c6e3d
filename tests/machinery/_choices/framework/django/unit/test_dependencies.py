import pytest
from asgiref.sync import async_to_sync
from django.test import RequestFactory, override_settings

import dev_identity
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.web.dependencies import identified, idle_identities


def test_without_a_lifespan_the_next_call_gets_the_identity_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dev_identity.environment().items():
        monkeypatch.setenv(name, value)
    idle_identities.clear()
    with override_settings(ENV=Settings()):
        for _ in range(2):
            with pytest.raises(Problem, match="unauthenticated"):
                async_to_sync(identified)(RequestFactory().get("/api/budget/me"))
    assert len(idle_identities) == 1
    idle_identities.clear()
