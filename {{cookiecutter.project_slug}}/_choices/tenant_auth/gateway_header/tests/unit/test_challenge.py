"""What a 401 asks for."""

from {{ cookiecutter.__package }}.core.problems import Problem


def test_a_401_asks_for_no_bearer_token() -> None:
    assert Problem("unauthenticated").headers["WWW-Authenticate"] == "Gateway"
