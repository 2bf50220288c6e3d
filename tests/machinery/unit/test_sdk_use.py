"""The SDK is used through its public interface only, so that it can be upgraded."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import runcycles

import {{ cookiecutter.__package }}
from {{ cookiecutter.__package }}.budget.client import TenantClient

PACKAGE = Path({{ cookiecutter.__package }}.__file__ or "").parent
ALLOWED = {"client.py: _config of AsyncCyclesClient"}
"""`@cycles` reads the configuration there."""
MEMBERS = re.compile(r"(?:self\.|def )(_[a-z]\w*)")


def private_uses(source: str) -> Iterator[str]:
    """Return what a module does to the SDK besides using its public interface."""
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    of_sdk = [each for each in imports if "runcycles" in ast.unparse(each)]
    names = {name.asname or name.name for each in of_sdk for name in each.names}
    for each in of_sdk:
        is_public = isinstance(each, ast.ImportFrom) and each.module == "runcycles"
        if not is_public or {name.name for name in each.names} - {*runcycles.__all__}:
            yield ast.unparse(each)
    for node in ast.walk(tree) if of_sdk else ():
        if isinstance(node, ast.ClassDef):
            for base in {ast.unparse(base) for base in node.bases} & names:
                theirs = MEMBERS.findall(inspect.getsource(getattr(runcycles, base)))
                ours = MEMBERS.findall(ast.unparse(node))
                yield from (f"{member} of {base}" for member in sorted({*ours} & {*theirs}))
        elif isinstance(node, ast.Attribute) and not is_own(node):
            is_written = not isinstance(node.ctx, ast.Load) and ast.unparse(node).partition(".")[0] in names
            if is_private(node.attr) or is_written:
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"setattr", "delattr"}:
            yield ast.unparse(node)


def is_own(node: ast.Attribute) -> bool:
    return ast.unparse(node.value) == "self"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_only_the_public_interface_of_the_sdk_is_used() -> None:
    sources = [(path.name, path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")]
    assert {f"{name}: {use}" for name, source in sources for use in private_uses(source)} == ALLOWED


def test_tenant_client_overrides_every_public_method_that_sends() -> None:
    """What it inherits would use the SDK's own connections, which it never opens."""
    public = {name for name in vars(runcycles.AsyncCyclesClient) if not name.startswith("_")}
    assert public - {*vars(TenantClient)} == {"stream_reservation"}  # it calls the others


@pytest.mark.parametrize(
    "line",
    [
        "from runcycles import _x",
        "from runcycles.client import AsyncCyclesClient",
        "import runcycles.lifecycle",
        "from runcycles import CyclesClient\nclient._post",
        "from runcycles import CyclesClient\nCyclesClient.commit_reservation = ours",
        "from runcycles import CyclesClient\nsetattr(CyclesClient, 'commit_reservation', ours)",
        "from runcycles import CyclesClient\nclass Ours(CyclesClient):\n    def _post(self): ...",
    ],
)
def test_private_use_of_the_sdk_is_found(line: str) -> None:
    assert [*private_uses(line)]
