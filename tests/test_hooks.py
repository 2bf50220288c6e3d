"""The hooks: short, harmless, and strict with what the template's authors may get wrong."""

import ast
import json
import re
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.generate import generate_files
from cookiecutter.main import cookiecutter
from hypothesis import given
from hypothesis import strategies as st

from .conftest import CHOICES, PROJECT, QUESTIONS, ROOT, Bake, Refuse

HOOKS = sorted((ROOT / "hooks").glob("*.py"))
GOOD_ANSWERS = {
    "_taken": json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_taken"],
    "__package": "acme_chat",
    "project_name": "Acme Chat",
    "project_slug": "acme-chat",
    "description": "Chat.",
    "author_name": "Acme",
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The functions of the pre-generation hook."""
    folder = tmp_path_factory.mktemp("rules")
    source = (ROOT / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
    script = folder / "pre_gen_project.py"
    script.write_text(jinja2.Template(source).render(cookiecutter=GOOD_ANSWERS))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return runpy.run_path(str(script))


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plant(template: Path, name: str, text: str) -> None:
    path = template / PROJECT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_both_hooks_together_have_at_most_180_lines() -> None:
    assert sum(len(hook.read_text().splitlines()) for hook in HOOKS) <= 180


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.stem)
def test_a_hook_is_ascii_and_imports_the_standard_library_without_its_network(hook: Path) -> None:
    tree = ast.parse(hook.read_text(encoding="ascii"))
    imported = {
        name.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names - {"http", "socket", "ssl", "subprocess", "urllib"}


@pytest.mark.parametrize("rule", ["text", "slug_shape", "free_name"])
def test_the_examples_of_a_rule_are_judged_as_it_says(rules: dict[str, Any], rule: str) -> None:
    valid, invalid = re.fullmatch(r"Valid: (.*?) Invalid: (.*)", rules[rule].__doc__).groups()  # type: ignore[union-attr]
    for example in re.findall("`(.*?)`", valid):
        rules[rule](example)
    for example in re.findall("`(.*?)`", invalid):
        with pytest.raises(ValueError, match=r"."):
            rules[rule](example)


@given(slug=st.text(max_size=60) | st.from_regex(r"[a-z0-9_./-]{0,50}", fullmatch=True))
def test_the_slug_that_would_do_does(rules: dict[str, Any], slug: str) -> None:
    suggestion = rules["usable"](slug)
    rules["slug_shape"](suggestion)
    rules["free_name"](suggestion)


def test_the_slug_avoids_every_name_that_the_hook_refuses(rules: dict[str, Any]) -> None:
    names = " ".join(GOOD_ANSWERS["_taken"]).split()
    assert names == sorted({*names})
    assert {name for name in rules["TAKEN"] if name[0].isalpha() and name == name.lower()} <= {*names}


def test_taken_names_lead_to_free_ones(rules: dict[str, Any]) -> None:
    for name in rules["TAKEN"]:
        rules["free_name"](rules["usable"](name))


PLANTED = {
    "a file of two trees": ("_choices/ci/github/pyproject.toml", "", "pyproject.toml is in two chosen folders"),
    "an unknown question": ("_choices/colour/red/a.txt", "", "_choices/colour belongs to no question"),
    "a file among the questions": ("_choices/README.md", "", "_choices/README.md belongs to no question"),
    "an earlier question": (
        "_choices/license/MIT/_choices/framework/fastapi/a.txt",
        "",
        "_choices/framework belongs to no question, or to an earlier one",
    ),
    "broken Python": ("broken.py", "def f(:\n", "broken.py is not valid Python: invalid syntax"),
    "a left-over tag": (
        "notes.md",
        "{{ '{{ cookiecutter.project_slug }}' }}\n",
        "notes.md has a leftover tag",
    ),
    "a left-over raw": ("notes.md", "{{ '{% raw %}' }}\n", "notes.md has a leftover tag"),
    "a tag in a hidden file": (".notes", "{{ '{{cookiecutter.x}}' }}\n", ".notes has a leftover tag"),
    "another framework": ("views.py", "from django.http import HttpRequest\n", "views.py imports django"),
}


@pytest.mark.parametrize(("name", "text", "fault"), PLANTED.values(), ids=PLANTED)
def test_a_fault_of_the_template_fails_the_bake_in_one_line(
    refuse: Refuse, changed_template: Path, name: str, text: str, fault: str
) -> None:
    plant(changed_template, name, text)
    refusal = refuse(template=changed_template)
    assert refusal.left == []
    assert refusal.message.startswith(f"ERROR: bug in the template: {fault}")
    assert len(refusal.message.splitlines()) == 1


def test_an_empty_folder_fails_the_bake(refuse: Refuse, changed_template: Path) -> None:
    (changed_template / PROJECT / "docs/empty").mkdir(parents=True)
    assert "docs/empty is an empty folder" in refuse(template=changed_template).message


def test_a_later_question_may_be_answered_inside_an_alternative(bake: Bake, changed_template: Path) -> None:
    plant(changed_template, "_choices/framework/fastapi/_choices/ci/gitlab/ci/fastapi.txt", "both")
    assert not (bake(template=changed_template).path / "ci").exists()
    assert bake(template=changed_template, ci="gitlab").read("ci/fastapi.txt") == "both"


def test_without_hooks_a_file_says_that_the_project_is_incomplete(template: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {json.dumps(str(tmp_path / 'replay'))}\n", encoding="utf-8")
    generate = partial(cookiecutter, str(template), no_input=True, accept_hooks=False, config_file=str(config))
    project = Path(generate(output_dir=str(tmp_path / "out")))
    assert (project / "_choices/HOOKS-DID-NOT-RUN.txt").read_text().startswith("This project is incomplete")


def test_the_last_words_are_the_next_two_commands(bake: Bake, capfd: pytest.CaptureFixture[str]) -> None:
    bake(project_name="Caf\u00e9", description="\U0001f916")
    assert [line for line in capfd.readouterr().out.splitlines() if line] == [
        "Ready. Next:",
        "    cd cafe",
        "    make dev",
    ]


def test_without_the_list_of_offered_answers_as_cruft_bakes_the_project_is_the_same(
    bake: Bake, template: Path, tmp_path: Path
) -> None:
    baked = bake()
    package = baked.package.name
    texts = {"project_slug": "acme-chat", "__package": package}
    for name in ("description", "author_name"):
        texts[f"__toml_{name.removesuffix('_name')}"] = QUESTIONS[name]
    texts["__secrets"] = "database_url secret_key tenant_keys_secret metrics_token openai_api_key"
    answers = {
        question: offered[0] if isinstance(offered, list) else offered for question, offered in QUESTIONS.items()
    }
    unrendered = template / "cookiecutter.json"
    context = answers | texts | {"_copy_without_render": json.loads(unrendered.read_text())["_copy_without_render"]}
    generate_files(repo_dir=template, context={"cookiecutter": context}, output_dir=tmp_path / "cruft")
    assert {path.relative_to(baked.path): data for path, data in snapshot(baked.path).items()} == {
        path.relative_to(tmp_path / "cruft/acme-chat"): data for path, data in snapshot(tmp_path / "cruft").items()
    }


def test_baking_over_a_project_keeps_what_the_user_added(bake: Bake, bake_over: Callable[..., None]) -> None:
    project = bake()
    before = snapshot(project.path)
    added = [project.path / name for name in ("mine/of_django.py", "tests/unit/test_mine.py", "emulator/mine.py")]
    added += [folder / "mine.py" for folder in project.package.rglob("*") if folder.is_dir()]
    for path in added:
        path.parent.mkdir(exist_ok=True)
        path.write_text("import django\n")
    (project.path / "var/empty").mkdir(parents=True)
    bake_over(project.path)
    assert snapshot(project.path) == before | dict.fromkeys(added, b"import django\n")
    assert not (project.path / "_choices").exists()


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_a_replay_generates_the_same_project(template: Path, tmp_path: Path, framework: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {json.dumps(str(tmp_path / 'replay'))}\n", encoding="utf-8")
    generate = partial(cookiecutter, str(template), config_file=str(config))
    first = generate(no_input=True, extra_context={"framework": framework}, output_dir=str(tmp_path / "first"))
    for replay in (True, str(tmp_path / f"replay/{template.name}.json")):
        again = generate(replay=replay, output_dir=str(tmp_path / f"again-{replay is True}"))
        assert {path.relative_to(again): data for path, data in snapshot(Path(again)).items()} == {
            path.relative_to(first): data for path, data in snapshot(Path(first)).items()
        }


@pytest.mark.parametrize("framework", CHOICES["framework"])
def test_files_that_exist_are_overwritten_or_skipped_as_asked(
    bake: Bake, bake_over: Callable[..., None], framework: str
) -> None:
    project = bake(framework=framework).path
    before = snapshot(project)
    edited = {path: data + b"\n# edited\n" for path, data in before.items()}
    missing = [project / "LICENSE", project / "docs/api.md", project / "acme_chat/core/money.py"]
    for path, data in edited.items():
        path.write_bytes(data)
    for path in missing:
        path.unlink()
    bake_over(project, framework=framework, skip_if_file_exists=True)
    assert snapshot(project) == edited | {path: before[path] for path in missing}
    bake_over(project, framework=framework)
    assert snapshot(project) == before


def test_a_file_in_a_folder_without_a_project_is_skipped_too(bake_over: Callable[..., None], tmp_path: Path) -> None:
    mine = tmp_path / "over/acme-chat/LICENSE"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    bake_over(mine.parent, skip_if_file_exists=True)
    assert mine.read_text() == "mine"
    assert (mine.parent / "acme_chat/main.py").exists()


@pytest.mark.parametrize("package", ["../../elsewhere", "acme", "acme_chat/../x"])
def test_a_package_that_is_not_the_slugs_is_refused(refuse: Refuse, package: str) -> None:
    refusal = refuse(__package=package)
    assert refusal.message == "ERROR: __package follows from project_slug. Leave it out\n"
    assert refusal.left == []


def test_a_failing_bake_over_a_folder_leaves_no_choices_and_no_loss(
    changed_template: Path, bake_over: Callable[..., None], tmp_path: Path
) -> None:
    plant(changed_template, "_choices/colour/red/a.txt", "")
    mine = tmp_path / "over/acme-chat/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("kept")
    with pytest.raises(FailedHookException):
        bake_over(mine.parent, template=changed_template)
    assert mine.read_text() == "kept"
    assert not (mine.parent / "_choices").exists()


def test_a_refused_answer_over_a_folder_changes_nothing(bake_over: Callable[..., None], tmp_path: Path) -> None:
    mine = tmp_path / "over/a/b/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("kept")
    with pytest.raises(FailedHookException):
        bake_over(mine.parent, project_slug="../a/b")
    assert snapshot(tmp_path / "over") == {mine: b"kept"}


def refuse_over(bake_over: Callable[..., None], project: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Generate over a project, assert that the hooks refuse, and return what they printed."""
    capfd.readouterr()
    with pytest.raises(FailedHookException):
        bake_over(project)
    return capfd.readouterr().err


TAGGED = "NAME = '{{ cookiecutter.__package }}'\n"
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")


def replace_by_link(path: Path, outside: Path) -> None:
    """Move what is at `path` out of the project and leave a link to it."""
    outside.mkdir()
    if path.exists():
        path.rename(outside / path.name)
    else:
        (outside / path.name / "framework").mkdir(parents=True)
        (outside / path.name / "framework/mine.txt").write_text("mine")
    path.symlink_to(outside / path.name)
    (outside / "mine.py").write_text(TAGGED)


@pytest.mark.parametrize("name", ["_choices/framework/mine.txt", "_choices", "UNFINISHED.txt"])
def test_generating_over_a_users_own_choices_or_unfinished_file_is_refused(
    bake: Bake, bake_over: Callable[..., None], capfd: pytest.CaptureFixture[str], name: str
) -> None:
    project = bake().path
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("mine")
    (project / "README.md").write_text("edited")
    before = snapshot(project)
    message = refuse_over(bake_over, project, capfd)
    found = name.partition("/")[0]
    assert message == f"ERROR: {found} already exists. Rename it, or delete it if an interrupted run left it\n"
    assert snapshot(project) == before


@needs_links
@pytest.mark.parametrize(
    "name",
    ["_choices", "acme_chat", "acme_chat/budget", "acme_chat/web", "tests/unit", "Makefile", "tests/conftest.py"],
)
def test_a_link_out_of_the_project_is_refused_before_anything_is_written(
    bake: Bake,
    bake_over: Callable[..., None],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
) -> None:
    project, outside = bake().path, tmp_path / "outside"
    (project / "README.md").write_text("edited")
    replace_by_link(project / name, outside)
    before = snapshot(project), snapshot(outside)
    message = refuse_over(bake_over, project, capfd)
    assert re.fullmatch(rf"ERROR: {name} (already exists|is a link out of the project).*\n", message)
    assert (snapshot(project), snapshot(outside)) == before
    assert (project / name).is_symlink()


@needs_links
@pytest.mark.parametrize("name", ["LICENSE", ".github", ".github/workflows", "dev_identity.py"])
def test_no_alternative_is_written_through_a_link_out_of_the_project(
    bake: Bake, bake_over: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    project, outside = bake().path, tmp_path / "outside"
    replace_by_link(project / name, outside)
    before = snapshot(outside)
    message = refuse_over(bake_over, project, capfd)
    assert re.fullmatch(rf"ERROR: {re.escape(name)}\S* is a link out of the project.*\n", message)
    assert snapshot(outside) == before
    assert (project / name).is_symlink()
    assert not (project / "_choices").exists()


@needs_links
def test_links_that_the_template_does_not_write_through_are_kept(
    bake: Bake, bake_over: Callable[..., None], tmp_path: Path
) -> None:
    project, outside = bake().path, tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.py").write_text(TAGGED)
    (project / "data").symlink_to(outside)
    (project / "mine.py").symlink_to(outside / "mine.py")
    (project / "tests/broken.py").symlink_to("nowhere.py")
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(sys.executable)
    bake_over(project)
    assert snapshot(outside) == {outside / "mine.py": TAGGED.encode()}
    links = ["data", "mine.py", "tests/broken.py", ".venv/bin/python"]
    assert [name for name in links if not (project / name).is_symlink()] == []


def test_a_replayed_question_that_is_a_path_deletes_nothing(template: Path, tmp_path: Path) -> None:
    mine = tmp_path / "acme-chat/mine/kept.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("kept")
    context = json.loads((template / "cookiecutter.json").read_text()) | {
        name: offered[0] for name, offered in CHOICES.items()
    }
    context |= {"project_slug": "acme-chat", "__package": "acme_chat", "__toml_description": "", "__toml_author": ""}
    context |= {"../mine": "kept.txt", str(mine.parent): "kept.txt"}
    generate_files(template, {"cookiecutter": context}, str(tmp_path), overwrite_if_exists=True)
    assert mine.read_text() == "kept"


def test_a_failing_bake_over_an_empty_folder_is_marked_unfinished(
    changed_template: Path, bake_over: Callable[..., None], tmp_path: Path
) -> None:
    plant(changed_template, "_choices/colour/red/a.txt", "")
    project = tmp_path / "over/acme-chat"
    project.mkdir(parents=True)
    with pytest.raises(FailedHookException):
        bake_over(project, template=changed_template)
    assert (project / "UNFINISHED.txt").exists()
    assert not (project / "_choices").exists()


def test_the_pre_hook_lists_every_file_and_folder_that_all_projects_get(rules: dict[str, Any], template: Path) -> None:
    names = {path.name for path in (template / PROJECT).iterdir()} - {"_choices"}
    assert {name.replace("{{cookiecutter.__package}}", "acme_chat") for name in names} == {*rules["COMMON"]}


def test_answers_that_are_paths_harm_nothing(bake: Bake, template: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "_choices/framework/fastapi").mkdir(parents=True)
    (precious / "_choices/framework/fastapi/file.txt").write_text("kept")
    before = snapshot(precious) | snapshot(template)
    for answer in (str(precious), str(template), "../../precious", "..", "/"):
        bake(project_slug="acme-chat", project_name=answer, description=answer, author_name=answer)
    assert snapshot(precious) | snapshot(template) == before
