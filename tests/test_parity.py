"""The two framework trees play the same roles: what one has the other has, by the same name or a stated other."""

import re
from pathlib import Path

import pytest

from .conftest import PROJECT, ROOT

FRAMEWORKS = ROOT / PROJECT / "_choices" / "framework"
PACKAGE = "{{cookiecutter.__package}}"

# Each role that the two frameworks fill in files of their own names.
ROLES = {
    "putting it together": (
        {"main.py"},
        {"asgi.py", "urls.py", "router.py", "settings.py", "apps.py"},
    ),
    "commands": ({"app.py"}, {"commands.py", "management"}),
    "migrations": ({"migrate.py", "migrations"}, {"migrations"}),
}
# What Django people expect and FastAPI has no place for: admin, checks, middleware, synchronous code.
DJANGO_ONLY = {"admin.py", "checks.py", "middleware.py", "sync.py"}
COMMANDS = {"tenants", "keys", "operators", "doctor", "serve", "migrate", "check"}


def modules(framework: str) -> set[str]:
    """The package's files, by their path in it; a folder of commands or migrations counts as one."""
    trees = [FRAMEWORKS / framework, *(FRAMEWORKS / framework).glob("_choices/*/*")]
    found = set()
    for tree in trees:
        for path in (tree / PACKAGE).rglob("*.py"):
            parts = path.relative_to(tree / PACKAGE).parts
            folders = [number for number, part in enumerate(parts) if part in {"management", "migrations"}]
            found.add("/".join(parts[: folders[0] + 1] if folders else parts))
    return found


def plain(framework: int, found: set[str]) -> set[str]:
    """Without the files whose names differ by intent."""
    different = set.union(*(names[framework] for names in ROLES.values())) | DJANGO_ONLY
    return {path for path in found if Path(path).name not in different}


def test_each_role_of_one_framework_is_filled_by_the_other_under_the_same_name() -> None:
    assert plain(0, modules("fastapi")) == plain(1, modules("django"))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_with_names_of_its_own_is_filled_in_both(role: str) -> None:
    for framework, names in zip(("fastapi", "django"), ROLES[role], strict=True):
        missing = names - {Path(path).name for path in modules(framework)}
        assert missing == set(), framework


def test_both_offer_the_same_commands() -> None:
    django = {path.stem for path in (FRAMEWORKS / "django").rglob("management/commands/[a-z]*.py")} | {
        "migrate",
        "check",
    }
    assert django >= COMMANDS
    paths = (FRAMEWORKS / "fastapi" / PACKAGE / "cli/app.py", *FRAMEWORKS.parents[1].rglob("cli/[vk]e*.py"))
    named = {name for path in paths for name in re.findall(r'"(\w+)"', path.read_text("utf-8"))}
    assert named >= COMMANDS


def test_what_both_frameworks_share_is_the_larger_part() -> None:
    def lines(folder: Path) -> int:
        return sum(len(path.read_text("utf-8").splitlines()) for path in folder.rglob("*.py"))

    shared = lines(ROOT / PROJECT / PACKAGE)
    for framework in ("fastapi", "django"):
        assert shared > lines(FRAMEWORKS / framework), framework
