"""Generated projects pass their own checks, run as their owner runs them, and the tests of machinery put into them.

Projects of one framework and Python share an environment and a cache of types, so that only what differs is installed
and checked; they run in one xdist group. `make test` runs `make check` and all machinery for each framework's default
answers, and for each way to tell tenants apart the types and the tests of identity and tenancy. `make test-matrix`
runs all of it for projects in which every pair of answers occurs.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from .combinations import Answers, every, pairwise
from .conftest import CHOICES, PROJECT, ROOT, UV, Bake, BakedProject, in_environment
from .emulator.server import ADMIN_KEY, Server
from .overlay import MACHINERY, lay_over
from .test_updates import updated

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the project's Makefile is for POSIX"),
    pytest.mark.timeout(1800),  # a whole project's tests, on a machine that may be busy
]

TENANTS = ("framework", "tenancy", "tenant_auth")
DEFAULTS = {question: answers[0] for question, answers in CHOICES.items()}
EACH_FRAMEWORK = [DEFAULTS | {"framework": each} for each in CHOICES["framework"]]
# whose money it is, and the tests that a way to tell tenants apart brings itself
TESTS_OF_TENANTS = {"test_isolation.py"} | {
    path.name for tree in (ROOT / PROJECT, MACHINERY) for path in tree.rglob("_choices/tenan*/**/test_*.py")
}


def of_each_tenants_answers() -> list[Answers]:
    """One project for each framework and way to tell tenants apart; the other answers vary with it."""
    given = list(every({question: CHOICES[question] for question in TENANTS}))
    return pairwise(CHOICES, given)[: len(given)]


def shown(
    projects: list[Answers], *marks: pytest.MarkDecorator, sharing: tuple[str, ...] = ("framework",)
) -> list[object]:
    """The projects as parameters: named by their answers; those that answer alike to `sharing` go to one worker."""
    groups = ["-".join(answers[question] for question in sharing) for answers in projects]
    return [
        pytest.param(answers, id="-".join(answers.values()), marks=[pytest.mark.xdist_group(group), *marks])
        for answers, group in zip(projects, groups, strict=True)
    ]


WAYS = of_each_tenants_answers()
IN_MATRIX = shown(pairwise(CHOICES), pytest.mark.matrix, sharing=("framework", "python_version"))


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_a_project_of_each_framework_passes_its_own_check(set_up: Bake, answers: Answers) -> None:
    set_up(**answers).run("make", "check", f"UV={UV}")


def run_tests(project: BakedProject, *tests: str, workers: str = "auto") -> None:
    project.run(".venv/bin/python", "-m", "pytest", "-n", workers, *tests)


def lint(project: BakedProject) -> None:
    """Check the tests that were put in as the project's own are checked."""
    for check in (("ruff", "check"), ("ruff", "format", "--check")):
        project.run(".venv/bin/python", "-m", *check)
    # for one Python, so that what was checked for other projects is not checked again
    project.run(".venv/bin/python", "-m", "mypy", "--python-version", DEFAULTS["python_version"])


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_the_machinery_of_each_framework_passes_its_tests(set_up: Bake, answers: Answers) -> None:
    project = set_up(**answers)
    tests = lay_over(project.path, answers)
    lint(project)
    run_tests(project, *tests)


@pytest.mark.parametrize("answers", shown(WAYS))
def test_a_way_to_tell_tenants_apart_passes_its_types_and_tests(set_up: Bake, answers: Answers) -> None:
    # Django resolves to its long-term release on 3.11; on the newest Python the test above has its newest
    project = set_up(**answers, python="3.11" if answers["framework"] == "django" else "3.12")
    lay_over(project.path, answers)
    lint(project)
    tests = [str(path) for path in project.files if path.name in TESTS_OF_TENANTS]
    run_tests(project, *tests, workers="0")  # so few that a second app would cost more than it saves


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK) + shown(WAYS, pytest.mark.long))
def test_a_project_answers_as_its_openapi_says(set_up: Bake, answers: Answers) -> None:
    """By schemathesis; here, to spare projects a dozen packages."""
    project = set_up(**answers)
    shutil.copy(ROOT / "tests/schema/answers.py", project.path / "tests/behaviour/test_schema.py")
    project.run(UV, "pip", "install", "--quiet", "--python", ".venv/bin/python", "schemathesis>=4.32,<5")
    project.run(".venv/bin/python", "-m", "pytest", "tests/behaviour/test_schema.py")


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_recipes_for_plans_and_top_ups_work_as_the_docs_say(set_up: Bake, answers: Answers) -> None:
    project = set_up(**answers)
    page = project.read("docs/tenants.md")
    (block,) = re.findall(r"^```python\n(.*?@router\.post.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (project.package / "chat/topups.py").write_text(block, encoding="utf-8")
    serve_top_ups(project, answers["framework"])
    shutil.copy(ROOT / "tests/recipes/recipes.py", project.path / "tests/behaviour/test_recipes.py")
    project.run(UV, "pip", "install", "--quiet", "--python", ".venv/bin/python", "stripe>=16")
    project.run(".venv/bin/python", "-m", "pytest", "-W", "default", "tests/behaviour/test_recipes.py")


def serve_top_ups(project: BakedProject, framework: str) -> None:
    """Change what serves routes, as docs/tenants.md says."""
    name, before, line = {
        "fastapi": ("main.py", "        budget_routes.router,\n", "        topups.router,\n"),
        "django": ("router.py", 'api.add_router("", health.router)\n', 'api.add_router("", topups.router)\n'),
    }[framework]
    assert line.strip(" ,\n") in project.read("docs/tenants.md")
    routes = project.package / name
    text = routes.read_text(encoding="utf-8").replace(before, before + line)
    imported = "from .chat import routes as chat_routes"
    text = text.replace(imported, f"{imported}, topups")
    routes.write_text(text, encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_a_year_of_a_thousand_recurring_budgets_resets_each_once_a_period(set_up: Bake, answers: Answers) -> None:
    project = set_up(**answers)
    lay_over(project.path, answers)
    project.run("env", "TENANTS_OF_THE_YEAR=1000", ".venv/bin/python", "-m", "pytest", "tests/unit/test_year.py")


CLIENTS = ("openai", "anthropic", "langchain-openai", "openai-agents", "pydantic-ai-slim[openai,anthropic]")
QUIETLY = ("-W", "default", "-p", "no:unraisableexception")  # some clients leave connections open


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A script with npm's openai beside it, None where npm is not installed."""
    if not (npm := shutil.which("npm")):
        return None
    folder = tmp_path_factory.mktemp("node")
    subprocess.run([npm, "install", "--silent", "--prefix", folder, "openai@>=7"], check=True)
    return Path(shutil.copy(ROOT / "tests/sdk/client.mjs", folder))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_clients_of_the_provider_work_with_base_url_and_key_alone(
    set_up: Bake, answers: Answers, provider: str, node_client: Path | None
) -> None:
    project = set_up(**(answers | {"llm_provider": provider}))
    shutil.copy(ROOT / "tests/sdk/clients.py", project.path / "tests/behaviour/test_clients.py")
    project.run(UV, "pip", "install", "--quiet", "--python", ".venv/bin/python", *CLIENTS)
    node = ["env", f"NODE_CLIENT={node_client}"] if node_client else []
    project.run(*node, ".venv/bin/python", "-m", "pytest", *QUIETLY, "tests/behaviour/test_clients.py")


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_a_route_added_as_the_docs_say_is_paid_for(set_up: Bake, answers: Answers) -> None:
    project = set_up(**answers)
    page = project.read("docs/extending.md")
    (block,) = re.findall(r"^```python\n(.*?@router\.post.*?)^```$", page, re.MULTILINE | re.DOTALL)
    imports, _, route = block.partition("\n\n\n")
    routes = project.package / "chat/routes.py"
    before, first, after = routes.read_text(encoding="utf-8").partition("from ..web")
    routes.write_text(f"{before}{imports}\n{first}{after}\n\n{route}", encoding="utf-8")
    tests = project.path / "tests/behaviour/test_chat.py"
    tests.write_text(tests.read_text(encoding="utf-8").replace("/api/summarize", "/api/translate"), encoding="utf-8")
    project.run(UV, "run", "ruff", "check", "--quiet")
    project.run(".venv/bin/python", "-m", "pytest", str(tests), "-k", "charges_its_own_tenant")


SERVED = {"fastapi": "main", "django": "asgi"}
IMPORTED = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_with_its_extra_a_project_traces_requests_and_nothing_of_it_is_imported_unless_asked_for(
    set_up: Bake, answers: Answers
) -> None:
    project = set_up(**answers)
    project.run("make", "setup", "EXTRA=otel", f"UV={UV}")
    served = f"{project.package.name}.{SERVED[answers['framework']]}"
    python = ("env", "APP_ENV=development", f"SECRET_KEY={'x' * 32}", ".venv/bin/python")
    assert "opentelemetry.sdk" not in project.run(*python, "-c", IMPORTED, served)
    shutil.copy(ROOT / "tests/tracing/traces.py", project.path / "tests/behaviour/test_traces.py")
    project.run(".venv/bin/python", "-m", "pytest", "tests/behaviour/test_traces.py")


FEW_LIVE = ["tests/recordings", *(f"tests/behaviour/test_{each}.py" for each in ("chat", "identity", "subjects"))]


@contextmanager
def plane(emulator: str, paths: str) -> Iterator[str]:
    """One plane of an emulator at its own URL, as real servers have it: `paths` are served, all others refused."""

    class Plane(BaseHTTPRequestHandler):
        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if re.match(paths, self.path):
                answer = http.request(self.command, self.path, content=body, headers=self.headers.items())
            else:
                answer = httpx.Response(401, json={"error": "UNAUTHORIZED", "message": "no such path on this plane"})
            self.send_response_only(answer.status_code)
            for header in answer.headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Write no access log."""

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay  # noqa: N815

    with httpx.Client(base_url=emulator, timeout=30) as http, ThreadingHTTPServer(("127.0.0.1", 0), Plane) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


# its tests are the same on both: one for a start
@pytest.mark.parametrize("tests", [FEW_LIVE, pytest.param([], marks=pytest.mark.long)], ids=["few", "all"])
@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK[:1]) + shown(EACH_FRAMEWORK[1:], pytest.mark.long))
def test_the_live_suite_passes_wherever_an_emulator_stands_and_leaves_nothing_there_that_could_spend(
    set_up: Bake, answers: Answers, tests: list[str], tmp_path: Path
) -> None:
    project = set_up(**answers)
    lay_over(project.path, answers)
    cycles = Server(project.path, tmp_path / "cycles.sqlite3")
    try:
        with plane(cycles.url, "/(actuator/|v1/(?!admin/))") as runtime, plane(cycles.url, "/v1/admin/") as admin:
            places = (f"CYCLES_BASE_URL={runtime}", f"CYCLES_ADMIN_URL={admin}", f"CYCLES_ADMIN_API_KEY={ADMIN_KEY}")
            few = ("LIVE=1", ".venv/bin/python", "-m", "pytest", *tests)
            project.run("env", *places, *(few if tests else ("make", "test-live", f"UV={UV}")))
        left = cycles.control("GET", "snapshot")
        assert {ledger["status"] for ledger in left["ledgers"]} == {"CLOSED"}
    finally:
        cycles.stop()


@pytest.mark.parametrize("answers", IN_MATRIX)
def test_a_project_of_every_pair_of_answers_passes_its_own_check(
    set_up: Bake, template: Path, answers: Answers
) -> None:
    project = set_up(**answers)
    project.run("make", "check", f"UV={UV}")
    tests = lay_over(project.path, answers)
    lint(project)
    run_tests(project, *tests)
    used = project.run(".venv/bin/python", "--version").strip()
    assert answers["python_version"] in used, f"passed on {used}; this machine lacks {answers['python_version']}"
    assert not hidden_by_a_name(project, template)


@pytest.mark.long
@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_a_project_that_was_updated_with_its_owners_edits_in_it_passes_its_own_check(
    history: Path, tmp_path: Path, environments: Path, answers: Answers
) -> None:
    project = updated(history, tmp_path, answers["framework"])
    in_environment(project, environments).run("make", "check", f"UV={UV}")


# Used, but not by an import: forms of FastAPI, drivers that DATABASE_URL names, a Django app, time zones.
# Imported, but brought by what is declared: halves of FastAPI, Django, pydantic. dev.py and the emulator never serve.
DECLARED_OTHERWISE = (
    "DEP002=python-multipart|fastapi-offline|aiosqlite|asyncpg|psycopg|whitenoise|tzdata|opentelemetry-distro,"
    "DEP003=anyio|starlette|markupsafe|asgiref|pydantic_core,DEP004=dotenv|filelock"
)


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_every_dependency_is_used_and_every_import_is_declared(set_up: Bake, answers: Answers) -> None:
    deptry = ("deptry", ".", "--per-rule-ignores", DECLARED_OTHERWISE)
    set_up(**answers).run(UV, "run", "--quiet", "--extra", "otel", "--with", "deptry", *deptry)


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_no_installed_package_can_be_hidden_by_the_name_of_a_project(
    set_up: Bake, template: Path, answers: Answers
) -> None:
    project = set_up(**answers)
    project.run(UV, "sync", "--quiet", "--extra", "otel")
    assert not hidden_by_a_name(project, template)


LIST_INSTALLED = """
from importlib.metadata import distributions, packages_distributions
print(*packages_distributions(), *(d.metadata["Name"].lower().replace("-", "_") for d in distributions()))
"""


def hidden_by_a_name(project: BakedProject, template: Path) -> set[str]:
    """What is installed and a project could be named like: the refused names are a list in cookiecutter.json."""
    names = set(project.run(".venv/bin/python", "-c", LIST_INSTALLED).split())
    refused = set(" ".join(json.loads((template / "cookiecutter.json").read_text())["_taken"]).split())
    names = {name for name in names if not name.startswith("opentelemetry_")}  # a dozen that nobody would choose
    possible = {name for name in names if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    return possible - refused - {project.package.name}
