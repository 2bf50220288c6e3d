"""Files for tools around the code: commit hooks, dev container, editor, dependency updates, coding agents."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from .combinations import Answers
from .conftest import CHOICES, UV, Bake, BakedProject, git
from .test_generated import EACH_FRAMEWORK, shown

DEPENDABOT = {"none": set(), "kubernetes": {"docker"}, "compose": {"docker", "docker-compose"}}


@pytest.mark.parametrize("deploy", CHOICES["deploy"])
def test_dependabot_updates_what_the_project_has(bake_once: Bake, deploy: str) -> None:
    project = bake_once(ci="github", deploy=deploy)
    project.run("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")
    updates = yaml.safe_load(project.read(".github/dependabot.yml"))["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"uv", "github-actions"} | DEPENDABOT[deploy]
    assert (project.path / "Dockerfile").exists() == ("docker" in DEPENDABOT[deploy])


def test_renovate_updates_where_dependabot_is_not_to_be_had(bake_once: Bake) -> None:
    project = bake_once(ci="gitlab")
    project.run("check-jsonschema", "--builtin-schema", "vendor.renovate", "renovate.json")
    assert not (project.path / ".github").exists()
    assert not (bake_once(ci="none").path / "renovate.json").exists()


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_the_dev_container_has_the_projects_python_and_ports(bake_once: Bake, version: str) -> None:
    project = bake_once(python_version=version)
    container = json.loads(project.read(".devcontainer/devcontainer.json"))
    assert container["image"].endswith(f":{version}")
    assert all(f'"{port}"' in project.read("dev.py") for port in container["forwardPorts"])
    recommended = json.loads(project.read(".vscode/extensions.json"))["recommendations"]
    assert container["customizations"]["vscode"]["extensions"] == recommended


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_the_rules_for_agents_are_short_and_name_what_exists(bake_once: Bake, framework: str) -> None:
    project = bake_once(framework=framework)
    rules = project.read("AGENTS.md")
    assert len(rules.splitlines()) <= 40
    package = project.path / "acme_chat"
    named = re.findall(r"`([\w/]+\.(?:py|md))`", rules)
    assert [name for name in named if not any((root / name).exists() for root in (package, project.path))] == []
    layers = re.search(r'layers = \[.*?("cli".*?)\]', project.read("pyproject.toml"))
    assert layers
    order = re.findall(r"`(\w+)`", re.findall(r"^`core`.*$", rules, re.MULTILINE)[0])[:10]
    assert order == [*reversed(re.findall(r'"(\w+)"', layers[1]))]


@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_commit_hooks_pass_on_a_new_project_and_mend_what_they_can(set_up: Bake, answers: Answers) -> None:
    project = set_up(**answers)
    path = os.pathsep.join([str(Path(shutil.which(UV) or UV).parent), os.environ["PATH"]])
    project = replace(project, environment=project.environment | {"PATH": path})
    git("init", "--quiet", folder=project.path)
    git("add", "--all", folder=project.path)
    hooks = (".venv/bin/pre-commit", "run", "--all-files")
    project.run(*hooks)
    module = project.path / "acme_chat/core/money.py"
    tidy = module.read_text(encoding="utf-8")
    module.write_text(f"import os\n{tidy}\n\nUNTIDY = ( 1 )\n", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match="files were modified by this hook"):
        project.run(*hooks)
    assert module.read_text(encoding="utf-8") == f"{tidy}\n\nUNTIDY = 1\n"
    project.run(*hooks)


@pytest.mark.long  # installs everything once more
@pytest.mark.skipif(sys.platform == "win32", reason="the project's Makefile is for POSIX")
def test_in_a_uv_workspace_make_uses_the_workspaces_environment_and_lock_file(bake: Bake, tmp_path: Path) -> None:
    monorepo = tmp_path / "our monorepo"
    monorepo.mkdir()
    (monorepo / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["apps/*"]\n', encoding="utf-8")
    project = BakedProject(Path(shutil.copytree(bake().path, monorepo / "apps/acme-chat")), {})
    project.run("make", "migrate", f"UV={UV}")
    assert (project.path / "var/app.sqlite3").exists()
    assert {path.name for path in monorepo.iterdir()} == {"apps", "pyproject.toml", "uv.lock", ".venv"}
    assert not (project.path / ".venv").exists()
