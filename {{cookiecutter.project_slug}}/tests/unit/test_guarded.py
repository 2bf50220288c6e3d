"""No model is called unguarded: who adds a route that does is told where."""

import ast
from collections.abc import Iterator
from pathlib import Path

import {{ cookiecutter.__package }}

PACKAGE = Path({{ cookiecutter.__package }}.__file__ or "").parent


def unguarded_calls(source: str) -> Iterator[str]:
    """The functions of a module that ask a provider outside of a hold, and that no guarded one of it calls."""
    asking, guarded_names = dict[str, int](), set[str]()

    def walk(node: ast.AST, function: str, *, guarded: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
            guarded = guarded or any("cycles(" in ast.unparse(each) for each in node.decorator_list)
        if isinstance(node, ast.With | ast.AsyncWith):
            guarded = guarded or any("hold(" in ast.unparse(each) for each in node.items)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.endswith(("provider.complete", "provider.stream")) and not guarded:
                asking[function] = node.lineno
            if guarded:
                guarded_names.add(called)
        for child in ast.iter_child_nodes(node):
            walk(child, function, guarded=guarded)

    walk(ast.parse(source), "", guarded=False)
    return (f"{name}, line {line}" for name, line in asking.items() if name not in guarded_names)


def test_every_call_of_a_model_is_paid_from_a_hold() -> None:
    sources = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    found = {str(path.relative_to(PACKAGE)): [*unguarded_calls(source)] for path, source in sources.items()}
    assert {path: calls for path, calls in found.items() if calls} == {}
    assert any("provider.complete(" in source for source in sources.values())


def test_a_call_outside_of_a_hold_is_found() -> None:
    route = "async def poem(services):\n    return await services.provider.complete(request)\n"
    assert [*unguarded_calls(route)] == ["poem, line 2"]
