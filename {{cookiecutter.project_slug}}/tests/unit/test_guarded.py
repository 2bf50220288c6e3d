"""No model is called without a hold. The test names the line that does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import {{ cookiecutter.__package }}

PACKAGE = Path({{ cookiecutter.__package }}.__file__ or "").parent
GUARDS = {"budget/hold.py", "api/relay.py", "llm/http_provider.py"}
"""Modules that may ask a provider: a hold, the relay of `/v1`, and the provider that a hold asks."""


def unguarded_calls(source: str) -> Iterator[int]:
    """Yield the lines of a module that ask a provider."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("provider.stream", "vendor.ask")):
            yield node.lineno


def test_every_call_of_a_model_is_paid_from_a_hold() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    found = {path: [*unguarded_calls(source)] for path, source in sources.items()}
    assert {path for path, lines in found.items() if lines} == GUARDS


def test_a_call_outside_of_a_hold_is_found() -> None:
    route = "async def poem(services):\n    return [each async for each in services.provider.stream(request)]\n"
    assert [*unguarded_calls(route)] == [2]
