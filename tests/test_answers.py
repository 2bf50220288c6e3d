"""What the answers do: good ones come out unharmed, bad ones are refused before anything is written."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .conftest import CHOICES, QUESTIONS, Bake, BakedProject, Refuse, bake_command

COOKIECUTTER = [sys.executable, "-m", "cookiecutter"]
SINGLE_ANSWERS = [(question, answer) for question, answers in CHOICES.items() for answer in answers]

AWKWARD_TEXTS = {
    "quotes": 'She said "it\'s" \'\'\' and """ too',
    "backslashes": r"C:\new\table\x00\u0041\\",
    "trailing backslash": "ends with \\",
    "emoji": "Chat \U0001f916\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "braces": "{name} }} {0} ${HOME} #{x} %}",
    "percent": "100% %s %(name)s %%",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u202e\u0627\u0644\u0639\u0631\u0628\u064a\u0629\u202c end",
    "markup": "<b>&amp;</b> <script>alert('1')</script> [link](x) `code` # *bold*",
    "toml": '] = """ # [tool.x]',
    "yaml": "- a: &b *c !d | > % @ ' # null",
    "300 characters": "Very long " * 29 + "Very long!",
}

REFUSED_SLUGS = {
    "Acme_Chat": "acme-chat",
    "acme.chat": "acme-chat",
    "acme--chat": "acme-chat",
    "acme chat": "acme-chat",
    "-acme": "acme",
    "acme-": "acme",
    "2fast": "my-2fast",
    "a" * 41: "a" * 37,
    "caf\u00e9": "caf",
    "\u05e9": "project",
    "a/b": "a-b",
    "a/b/c": "a-b-c",
    "../up": "up",
    "class": "my-class",
    "match": "my-match",
    "json": "my-json",
    "test": "my-test",
    "tests": "my-tests",
    "emulator": "my-emulator",
    "dev": "my-dev",
    "var": "my-var",
    "django": "my-django",
    "fastapi": "my-fastapi",
    "runcycles": "my-runcycles",
    "openai": "my-openai",
    "pydantic-settings": "my-pydantic-settings",
    "con": "my-con",
    "com1": "my-com1",
}

REFUSED_TEXTS = {
    "nothing": "",
    "blanks": "  ",
    "blank before": " Acme",
    "blank after": "Acme ",
    "newline": "Acme\nChat",
    "carriage return": "Acme\rChat",
    "tab": "Acme\tChat",
    "null": "Acme\0Chat",
    "escape": "Acme\x1b[31mChat",
    "next line": "Acme\x85Chat",
    "line separator": "Acme\u2028Chat",
    "paragraph separator": "Acme\u2029Chat",
    "half of a surrogate pair": "Acme\ud83eChat",
    "301 characters": "a" * 301,
}


def texts_of(project: BakedProject) -> dict[str, str]:
    """The free texts as a program reads them back, from both places where they are kept."""
    about = json.loads(project.read(project.package / "core" / "about.json"))
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["description"] == about["description"]
    assert metadata["authors"] == [{"name": about["author"]}]
    assert metadata["name"] == about["distribution"]
    return {
        "project_name": about["title"],
        "project_slug": about["distribution"],
        "description": about["description"],
        "author_name": about["author"],
    }


def test_the_defaults_make_a_project_named_as_they_say(bake: Bake) -> None:
    project = bake()
    assert project.path.name == "acme-chat"
    assert project.package.is_dir()
    assert texts_of(project) == {
        "project_name": "Acme Chat",
        "project_slug": "acme-chat",
        "description": QUESTIONS["description"],
        "author_name": QUESTIONS["author_name"],
    }


@pytest.mark.parametrize(("question", "answer"), SINGLE_ANSWERS, ids="=".join)
def test_each_offered_answer_makes_a_project(bake_once: Bake, question: str, answer: str) -> None:
    project = bake_once(**{question: answer})
    assert (project.path / "pyproject.toml").is_file()
    assert (project.path / "LICENSE").is_file()


@pytest.mark.parametrize("license_name", CHOICES["license"])
@pytest.mark.parametrize("provider", CHOICES["llm_provider"])
def test_every_provider_goes_with_every_license(bake_once: Bake, provider: str, license_name: str) -> None:
    project = bake_once(llm_provider=provider, license=license_name)
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["license"].removeprefix("LicenseRef-") == license_name
    assert f'"{provider}"' in project.read(project.package / "core/provider_settings.py")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Bj\u00f6rk & S\u00f8ns", "bjork-sons"),
        ("\u4f60\u597d", "ni-hao"),
        ("\U0001f916", "my-project"),
        ("3D Print", "my-3d-print"),
        ("Test", "my-test"),
        ("Django", "my-django"),
        ("Async IO", "async-io"),
        ("Asyncio", "my-asyncio"),
        ("Class", "my-class"),
        ("Pydantic Settings", "my-pydantic-settings"),
        ("Word " * 60, "word-word-word-word-word-word-word-word"),
    ],
)
def test_the_slug_follows_from_the_name(bake: Bake, name: str, slug: str) -> None:
    assert bake(project_name=name.strip()).path.name == slug


@pytest.mark.parametrize("text", AWKWARD_TEXTS.values(), ids=AWKWARD_TEXTS)
def test_awkward_texts_come_out_unharmed(bake: Bake, text: str) -> None:
    project = bake(project_slug="acme-chat", project_name=text, description=text, author_name=text)
    assert texts_of(project) == {
        "project_name": text,
        "project_slug": "acme-chat",
        "description": text,
        "author_name": text,
    }


def test_jinja_typed_at_the_prompt_stays_plain_text(template: Path, tmp_path: Path) -> None:
    text = "{{ 7 * 7 }} {# no #} {% if 1 %}"
    typed = [text, "acme-chat", text, text, *("" for _ in CHOICES)]
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {json.dumps(str(tmp_path / 'replay'))}\n")
    subprocess.run(
        [*COOKIECUTTER, "--config-file", config, "-o", tmp_path, template],
        input="\n".join(typed) + "\n",
        text=True,
        encoding="utf-8",
        capture_output=True,
        check=True,
    )
    assert texts_of(BakedProject(tmp_path / "acme-chat", {}))["description"] == text


@pytest.mark.parametrize(("slug", "would_do"), REFUSED_SLUGS.items(), ids=map(ascii, REFUSED_SLUGS))
def test_a_bad_slug_is_refused_in_one_line_and_leaves_nothing(refuse: Refuse, slug: str, would_do: str) -> None:
    refusal = refuse(project_slug=slug)
    assert [path for path in refusal.left if path.name not in "ab"] == []  # cookiecutter leaves the `a` of `a/b`
    assert re.fullmatch(
        rf"ERROR: project_slug {re.escape(ascii(slug))} is not valid. Use {would_do} \(.*\)\n",
        refusal.message,
    )


@pytest.mark.parametrize("question", ["project_name", "description", "author_name"])
@pytest.mark.parametrize("text", REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_a_bad_text_is_refused_in_one_line_and_leaves_nothing(refuse: Refuse, question: str, text: str) -> None:
    refusal = refuse(**{question: text})
    assert refusal.left == []
    shown = ascii(text[:60]).replace("\\r", "\\n")  # Jinja's doing
    assert refusal.message.startswith(f"ERROR: {question} {shown} is not valid. Use ")
    assert len(refusal.message.splitlines()) == 1


def test_on_the_command_line_a_refusal_exits_with_1_and_says_why_first(template: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {json.dumps(str(tmp_path / 'replay'))}\n")
    output = tmp_path / "output"
    done = subprocess.run(
        [*COOKIECUTTER, "--no-input", "--config-file", config, "-o", output, template, "project_slug=Acme_Chat"],
        text=True,
        encoding="utf-8",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: project_slug 'Acme_Chat' is not valid. Use acme-chat (")
    assert list(output.iterdir()) == []


def test_a_failing_bake_tells_the_command_that_repeats_it() -> None:
    assert bake_command({"author_name": "Bj\u00f6rk's"}).endswith("""'author_name=Bj\u00f6rk'"'"'s'""")
