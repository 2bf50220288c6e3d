"""Both frameworks baked once, each with one environment, one emulator and one provider for all of its tests."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from tests.conftest import CHOICES, UV, Bake

from .callers import Caller, calling
from .processes import Emulator, Installed, Project, Serving, Tenant, running_emulator
from .provider import Provider
from .routes import ROUTES

T = TypeVar("T")
ROUTE = Path(__file__).parent / "route"
"""A route that is added to the projects under test."""

IN_SHORT: dict[str, dict[str, object]] = {
    "test_faults": {"project": "fastapi", "route": "completions"},
    "test_fallbacks": {"project": "fastapi", "route": "completions"},
    "test_killed": {"project": "django", "load": "completions"},
    "test_after_a_kill_what_an_observed_tenant_was_served_beyond_its_budget_is_booked_once": {"project": "fastapi"},
    "test_outage": {"project": "django", "route": "completions"},
    "test_race": {"project": "fastapi", "route": "chat"},
    "test_keys": {"project": "fastapi", "load": "completions", "step": "commit", "stream": True},
    "test_an_agent_with_a_key_is_charged_once_when_it_is_killed": {"project": "django", "step": "last commit"},
    "test_a_request_with_a_key_that_a_stopping_server_cuts_is_charged_once_and_its_key_is_used": {
        "project": "django",
        "load": "chat",
    },
    "test_runs": {"project": "django", "end": "is killed"},
    "test_slow": {"project": "fastapi", "route": "completions"},
    "test_workers": {"project": "django"},
    "test_every_page_says_the_same_without_javascript": {"project": "fastapi"},
    "test_tenants_are_searched_and_sorted": {"project": "django"},
}
"""What these try is the same code on both frameworks: `make test` takes one for each, `make test-long` both."""
EACH_IN_SHORT: dict[str, dict[str, object]] = {
    "fastapi": {"served": "uvicorn", "server": "uvicorn", "route": "chat"},
    "django": {"served": "granian", "server": "granian", "route": "completions"},
}
"""Where a test asks for a server or a route `make test` takes one of them with each framework, `make test-long` all."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and "project" in item.fixturenames:
            asked = item.callspec.params
            only = IN_SHORT.get(item.originalname) or IN_SHORT.get(item.path.stem, {})
            wanted = EACH_IN_SHORT.get(str(asked["project"]), {}) | only
            if any(asked[name] != wanted[name] for name in asked.keys() & wanted.keys()):
                item.add_marker(pytest.mark.long)


class Served(NamedTuple):
    """The app on one server, with a tenant that has plenty, and its callers."""

    server: str
    serving: Serving
    tenant: Tenant
    caller: Caller


class Laboratory:
    """What the tests of one framework share. All of it lives in one event loop, in which `run` runs a test."""

    def __init__(self, projects: dict[str, Project], folder: Path, runner: asyncio.Runner) -> None:
        self._projects = projects
        self._vendor = "openai"
        self._folder = folder
        self._runner = runner
        self._stack = AsyncExitStack()
        self._apps: dict[str, Installed] = {}
        self._served: dict[tuple[str, str], Served] = {}
        self.emulator: Emulator
        self.provider: Provider

    @property
    def project(self) -> Project:
        return self._projects[self._vendor]

    @property
    def app(self) -> Installed:
        """The installation for all tests that leave it as it is."""
        if self._vendor not in self._apps:
            self._apps[self._vendor] = self.installed(f"app-{self._vendor}")
        return self._apps[self._vendor]

    def use(self, route: str) -> None:
        """Let the following test work with a project that has this route."""
        self._vendor = "anthropic" if route == "messages" else "openai"

    def run(self, test: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(test)

    async def open(self) -> None:
        self.emulator = await self._stack.enter_async_context(running_emulator(self.project, self._folder))
        self.provider = await self._stack.enter_async_context(Provider())

    def installed(self, name: str) -> Installed:
        """Return another installation, with a database and an outbox of its own."""
        folder = self._folder / name
        folder.mkdir()
        return Installed(self.project, folder, self.emulator, self.provider.url)

    async def served_by(self, server: str) -> Served:
        """The app on this server, for all tests that leave it as it is."""
        key = self._vendor, server
        if key not in self._served:
            tenant = self.app.add_tenant()
            serving = await self._stack.enter_async_context(self.app.serving(server))
            caller = await self._stack.enter_async_context(calling(serving, tenant))
            self._served[key] = Served(server, serving, tenant, caller)
        return self._served[key]

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(f"laboratory-{name}")) for name in CHOICES["framework"]],
)
def project(request: pytest.FixtureRequest, bake_once: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of each framework in an environment of its own, with a second server to serve it."""
    folder = tmp_path_factory.mktemp("laboratory")
    environment = folder / "environment"
    baked = bake_once(framework=request.param).copied_to(folder).with_environment(environment)
    baked.run(UV, "sync", "--quiet")
    baked.run(UV, "pip", "install", "--quiet", "--python", str(environment), "granian>=2.8")
    bake_once(framework=request.param, llm_provider="anthropic").copied_to(folder / "anthropic")
    shutil.copy(ROUTE / "fan_out.txt", baked.package / "chat" / "fan_out.py")
    with (baked.package / "chat" / "routes.py").open("a") as routes:
        routes.write((ROUTE / f"{request.param}.txt").read_text())
    return Project(baked.path, environment / "bin" / "python", request.param)


@pytest.fixture(scope="session")
def laboratory(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    anthropic = replace(project, path=project.path.parent / "anthropic" / project.path.name, vendor="anthropic")
    with asyncio.Runner() as runner:
        laboratory = Laboratory(
            {"openai": project, "anthropic": anthropic},
            tmp_path_factory.mktemp(f"laboratory-{project.framework}"),
            runner,
        )
        try:
            laboratory.run(laboratory.open())
            yield laboratory
        finally:
            laboratory.run(laboratory.close())


@pytest.fixture(params=["uvicorn", "granian"])
def served(laboratory: Laboratory, route: str, request: pytest.FixtureRequest) -> Served:  # noqa: ARG001  (used before)
    return laboratory.run(laboratory.served_by(request.param))


@pytest.fixture(params=ROUTES)
def route(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a paid route, for a test that tries each. The laboratory has a project with it."""
    laboratory.use(request.param)
    yield request.param
    laboratory.use("chat")


@pytest.fixture
def on_uvicorn(laboratory: Laboratory, route: str) -> Served:  # noqa: ARG001  (used before)
    return laboratory.run(laboratory.served_by("uvicorn"))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """`figure(text)` prints what was measured, in the summary."""
    return lambda text: record_property("figure", text)
