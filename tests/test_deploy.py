"""What is emitted for deployment: valid by the formats' own schemas, at one with itself, and it serves.

No container runs here. The image's own commands build its environment in a folder, and the processes of compose.yaml
are started from there by their own commands and settings, with the emulator in the place of Cycles and Redis.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from .conftest import CHOICES, UV, Bake, BakedProject, user_environment
from .emulator.server import ADMIN_KEY, Server
from .laboratory.processes import free_port

ANSWERS = [
    {"tenancy": tenancy, "tenant_auth": auth, "llm_provider": provider}
    for tenancy, auth, provider in zip(
        ["tenant", "workspace", "tenant"], CHOICES["tenant_auth"], CHOICES["llm_provider"], strict=True
    )
]
NOBODY = "nobody"


@pytest.fixture(params=ANSWERS, ids=lambda answers: "-".join(answers.values()))
def composed(request: pytest.FixtureRequest, bake_once: Bake) -> BakedProject:
    return bake_once(deploy="compose", **request.param)


@pytest.fixture(params=ANSWERS, ids=lambda answers: "-".join(answers.values()))
def clustered(request: pytest.FixtureRequest, bake_once: Bake) -> BakedProject:
    return bake_once(deploy="kubernetes", **request.param)


def stack_of(project: BakedProject) -> dict[str, Any]:
    """compose.yaml, its merge keys merged."""
    stack: dict[str, Any] = yaml.safe_load(project.read("compose.yaml"))
    return stack


def settings_of(project: BakedProject) -> set[str]:
    return set(re.findall(r"^([A-Z_]+)=", project.read(".env.example"), re.MULTILINE))


def test_compose_follows_the_compose_specification(composed: BakedProject) -> None:
    composed.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_the_dockerfile_has_nothing_that_hadolint_finds(composed: BakedProject) -> None:
    composed.run("hadolint", "--strict-labels", "Dockerfile")


def test_every_service_is_bounded_and_waits_for_what_it_needs_to_be_well(composed: BakedProject) -> None:
    services = stack_of(composed)["services"]
    once = {"migrate", "bootstrap", "cli", "account"}
    for name, service in services.items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        for needed, wait in service.get("depends_on", {}).items():
            done = "service_completed_successfully" if needed in once else "service_healthy"
            assert wait["condition"] == done, (name, needed)
        assert (name in once) != (service.get("restart") == "unless-stopped"), name
        if name not in {*once, "app", "housekeeping"}:  # the app's image brings its own; /readyz tells of housekeeping
            assert service["healthcheck"]["test"], name
    assert services["app"]["depends_on"].keys() == {"migrate", "cycles-server"}
    assert all(services[name]["read_only"] for name in ("app", "cli", "housekeeping", "migrate", "bootstrap"))
    assert not any("ports" in service for name, service in services.items() if name != "app")


def test_every_secret_is_written_once_and_none_is_in_the_environment(composed: BakedProject) -> None:
    composed.run("env", "LLM_PROVIDER=demo", sys.executable, "make_secrets.py")
    written = {path.name: path for path in (composed.path / "secrets").iterdir()}
    before = {name: path.read_text() for name, path in written.items()}
    stack = stack_of(composed)
    assert {secret["file"] for secret in stack["secrets"].values()} == {
        f"secrets/{name}" for name in written.keys() - {"cycles.env"}
    }
    assert (composed.path / "secrets").stat().st_mode & 0o777 == 0o700
    for service in stack["services"].values():
        assert set(service.get("secrets", [])) <= stack["secrets"].keys()
        told = {*service.get("environment", {})}
        assert not {name.upper() for name in stack["secrets"]} & told
    assert "cycles_admin_api_key" not in stack["services"]["app"]["secrets"]
    for path in ((composed.path / "secrets"), *written.values()):
        path.chmod(0o777)  # as copied by a careless tool
    composed.run("env", "LLM_PROVIDER=demo", sys.executable, "make_secrets.py")
    assert (composed.path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in written.values()} == {0o644}
    assert {name: path.read_text() for name, path in written.items()} == before
    shutil.rmtree(composed.path / "secrets")


def test_the_settings_of_a_deployment_are_settings_of_the_app(composed: BakedProject, clustered: BakedProject) -> None:
    services = stack_of(composed)["services"]
    assert {*services["app"]["environment"], *services["cli"]["environment"]} <= settings_of(composed)
    named = set(re.findall(r"^([A-Z_]+)=", clustered.read("kubernetes/settings.env"), re.MULTILINE))
    assert named <= settings_of(clustered)
    (app, _) = yaml.safe_load_all(clustered.read("kubernetes/app.yaml"))
    secrets = {item["key"].upper() for item in app["spec"]["template"]["spec"]["volumes"][0]["secret"]["items"]}
    assert secrets <= settings_of(clustered)
    if composed.answers["tenant_auth"] == clustered.answers["tenant_auth"]:
        assert secrets == {name.upper() for name in services["app"]["secrets"]}


def test_the_manifests_follow_the_schemas_of_kubernetes(clustered: BakedProject) -> None:
    folder = clustered.path / "kubernetes"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert {*kustomization["resources"], "kustomization.yaml"} == {path.name for path in folder.glob("*.yaml")}
    kinds = []
    for resource in kustomization["resources"]:
        for document in yaml.safe_load_all((folder / resource).read_text()):
            kubernetes_validate.validate(document, "1.37", strict=True)
            kinds.append(document["kind"])
    assert {"StatefulSet", "Service", "Ingress", "Job", "PodDisruptionBudget", "NetworkPolicy"} <= {*kinds}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
def test_kustomize_builds_the_manifests(clustered: BakedProject) -> None:
    assert "kind: StatefulSet" in clustered.run("kubectl", "kustomize", "kubernetes")


@pytest.mark.parametrize(
    "framework", [pytest.param(each, marks=pytest.mark.xdist_group(each)) for each in CHOICES["framework"]]
)
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="the image is of Linux")
def test_the_processes_of_compose_onboard_a_tenant_and_serve_it(
    bake: Bake, framework: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    postgres = postgres_programs()
    project = bake(framework=framework, deploy="compose", python_version="3.13")
    image = Image(project, tmp_path / "image")
    record_property("figure", f"{framework}: what the image has beside Python is {image.megabytes} MB")
    secrets = project.path / "secrets"
    secrets.mkdir(0o700)
    with emulator_in(project.path, tmp_path) as cycles, running_postgres(postgres) as database_url:
        (secrets / "database_url").write_text(database_url)
        (secrets / "cycles_admin_api_key").write_text(ADMIN_KEY)
        project.run("env", "LLM_PROVIDER=demo", sys.executable, "make_secrets.py")
        stack = Stack(project, image, cycles.url)
        stack.run("migrate")
        assert "fault" not in stack.run("bootstrap")
        added = yaml.safe_load(
            stack.run("cli", "tenants", "add", "acme", "--name", "Acme", "--budget", "5.00", "--json")
        )
        with stack.serving() as url:
            headers = {"Authorization": f"Bearer {added['api_key']}"}
            answers = [httpx.post(f"{url}/api/chat", json={"prompt": "Hi"}, headers=headers) for _ in range(10)]
            assert [answer.status_code for answer in answers] == [200] * 10, answers[0].text
        spent = sum(answer.json()["cost"]["amount"] for answer in answers)
        (ledger,) = cycles.control("GET", "snapshot")["ledgers"]
        assert (ledger["spent"], ledger["reserved"]) == (spent, 0)


class Image:
    """The environment that the Dockerfile makes, by its own commands, from what .dockerignore lets through."""

    def __init__(self, project: BakedProject, folder: Path) -> None:
        self.environment = {"UV_PROJECT_ENVIRONMENT": str(folder / "app")}
        self.bin = folder / "app" / "bin"
        subprocess.run([UV, "lock", "--quiet"], cwd=project.path, env=user_environment(), check=True)
        context = folder / "src"
        context.mkdir(parents=True)
        for line in project.read(".dockerignore").splitlines():
            if line.startswith("!"):
                source = project.path / line[1:]
                (shutil.copytree if source.is_dir() else shutil.copy)(source, context / source.name)
        dockerfile = project.read("Dockerfile").replace("\\\n", " ")
        syncs = re.findall(r"^RUN (?:--mount=\S+ )?(uv sync .+)$", dockerfile, re.MULTILINE)
        assert len(syncs) == 2
        for sync in syncs:
            command = [UV, *shlex.split(sync)[1:]]
            subprocess.run(command, cwd=context, env=user_environment() | self.environment, check=True)
        assert (
            self.python("import importlib.util as u; print(u.find_spec('emulator'), u.find_spec('pytest'))")
            == "None None"
        )
        files = [path for path in self.bin.parent.rglob("*") if path.is_file() and not path.is_symlink()]
        self.megabytes = sum(path.stat().st_size for path in files) >> 20
        assert self.megabytes < 300

    def python(self, source: str) -> str:
        """What a program prints that runs in the environment, outside of the project."""
        command = [str(self.bin / "python"), "-c", source]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout.strip()


class Stack:
    """The services of compose.yaml that are ours, as processes of this machine."""

    def __init__(self, project: BakedProject, image: Image, cycles_url: str) -> None:
        self._project = project
        self._image = image
        self._services = stack_of(project)["services"]
        entrypoint = re.search(r"^ENTRYPOINT (.+)$", project.read("Dockerfile"), re.MULTILINE)
        assert entrypoint
        self._entrypoint: list[str] = yaml.safe_load(entrypoint[1])
        self._folder = image.bin.parent.parent / "home"
        self._folder.mkdir()
        self._here = {
            "PATH": f"{image.bin}:{os.environ['PATH']}",
            "SECRETS_DIR": str(project.path / "secrets"),
            "CYCLES_BASE_URL": cycles_url,
            "CYCLES_ADMIN_URL": cycles_url,
            "CYCLES_JOURNAL_DIR": str(self._folder / "journal"),
            "LLM_PROVIDER": "demo",
            "DEMO_DELAY_MS": "5",
        }

    def command(self, name: str, *arguments: str) -> list[str]:
        service = self._services[name]
        given = [*arguments] or service["command"]
        return [part.replace("$$", "$") for part in (*service.get("entrypoint", self._entrypoint), *given)]

    def environment(self, name: str) -> dict[str, str]:
        told = self._services[name].get("environment", {})
        return {**told, **{key: value for key, value in self._here.items() if key in told or key not in MOVED}}

    def run(self, name: str, *arguments: str) -> str:
        """Run a service that ends; what it printed."""
        done = subprocess.run(
            self.command(name, *arguments),
            cwd=self._folder,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The app by the service's own command; its address. It must end well on SIGTERM."""
        port = free_port()
        environment = self.environment("app") | {"PORT": str(port)}
        assert environment["WORKERS"] == "2"
        with ended(subprocess.Popen(self.command("app"), cwd=self._folder, env=environment)) as process:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(f"{url}/readyz"))
            yield url
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) in (0, -signal.SIGTERM)


MOVED = {"CYCLES_BASE_URL", "CYCLES_ADMIN_URL"}
"""Addresses of services: told to those only that compose.yaml tells them."""


def postgres_programs() -> Path:
    """The folder of Debian's or anybody's initdb and postgres; the test is skipped where there is none."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not places:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    return places[-1]


@contextmanager
def emulator_in(project: Path, folder: Path) -> Iterator[Server]:
    """In the place of Cycles and its Redis."""
    server = Server(project, folder / "cycles.sqlite3")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """A server of its own; its DATABASE_URL. PostgreSQL refuses to run as root, so it is nobody's then."""
    user = NOBODY if os.getuid() == 0 else None
    port = free_port()
    # not pytest's folder: each start of pytest lets only its owner enter
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        if user:
            shutil.chown(folder, user)
        data = ["-D", f"{folder}/data"]
        initdb = [str(programs / "initdb"), *data, "-U", "app", "--auth=trust", "--no-sync"]
        subprocess.run(initdb, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        options = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [str(programs / "postgres"), *data, *options]
        with ended(subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.DEVNULL)) as server:
            wait_until(lambda: listens(port))
            createdb = [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "app", "app"]
            wait_until(lambda: subprocess.run(createdb, stderr=subprocess.DEVNULL, check=False).returncode == 0)
            yield f"postgresql://app@127.0.0.1:{port}/app"
            server.send_signal(signal.SIGINT)  # at once, whoever is connected
            server.wait(20)


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """The process, gone at the end whatever happens."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s"
        time.sleep(0.05)
