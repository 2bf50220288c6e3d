"""Pictures of the dashboard: `make screenshots`, or `uv run python -m benchmarks.screenshots [--framework django]`.

Generates a project, runs `make dev DEMO=1` in it, and takes README's pictures, into docs/images/. Then it takes every
page in four sizes and both themes, into the folder of `--output` (var/screenshots/). Needs Chromium. The month follows
from a fixed seed, but its days are the last ones and the pages tell the time.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from cookiecutter.main import cookiecutter
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.conftest import CHOICES, ROOT, UV, copy_template
from tests.laboratory.processes import free_port

Theme = Literal["light", "dark"]

THEMES: tuple[Theme, ...] = ("light", "dark")
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "laptop": (1280, 800), "desktop": (1920, 1080)}
README: dict[str, tuple[str, Theme]] = {
    "overview": ("/dashboard/", "light"),
    "tenant": ("/dashboard/tenants/wayne", "dark"),
}
README_SIZE = (1280, 1120)
PAGES = {
    "overview": "/dashboard/",
    "attention": "/dashboard/?show=attention",
    "healthy": "/dashboard/tenants/hooli",
    "low": "/dashboard/tenants/initech",
    "critical": "/dashboard/tenants/vandelay",
    "exhausted": "/dashboard/tenants/umbrella",
    "in-debt": "/dashboard/tenants/soylent",
    "suspended": "/dashboard/tenants/wonka",
    "closed": "/dashboard/tenants/stark",
    "recurring": "/dashboard/tenants/wayne",
    "unused": "/dashboard/tenants/acme",
    "calls": "/dashboard/calls",
    "calls-refused": "/dashboard/calls?tenant=umbrella&outcome=refused",
    "fund": "/dashboard/tenants/umbrella/fund",
    "reset": "/dashboard/tenants/umbrella/reset",
    "suspend": "/dashboard/tenants/hooli/suspend",
    "link": "/dashboard/tenants/hooli/link",
    "audit": "/dashboard/audit",
    "not-found": "/dashboard/tenants/nobody",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", choices=CHOICES["framework"], default=CHOICES["framework"][0])
    parser.add_argument("--output", type=Path, default=ROOT / "var/screenshots")
    options = parser.parse_args()
    with running(options.framework) as state, sync_playwright() as playwright:
        # no sandbox: it needs rights that root in a container has not
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take_readme(browser, state)
        for theme in THEMES:
            for size in SIZES:
                take_all(browser, state, options.output, size, theme)


@contextmanager
def running(framework: str) -> Iterator[dict[str, Any]]:
    """Run `make dev DEMO=1` in a new project. Yield its var/dev.json."""
    with tempfile.TemporaryDirectory() as folder:
        template = copy_template(Path(folder) / "template")
        answers = {"framework": framework}
        project = Path(cookiecutter(str(template), no_input=True, extra_context=answers, output_dir=folder))
        ports = {"PORT": str(free_port()), "CYCLES_PORT": str(free_port())}
        command = ["make", "dev", "DEMO=1", f"UV={UV}"]
        dev = subprocess.Popen(command, cwd=project, env=os.environ | ports)
        try:
            yield wait_for(dev, project / "var/dev.json")
        finally:
            dev.terminate()
            dev.wait(60)


def wait_for(dev: subprocess.Popen[bytes], state: Path) -> dict[str, Any]:
    while not state.exists():
        if dev.poll() is not None:
            raise SystemExit("make dev ended; see its output above")
        time.sleep(0.2)
    read: dict[str, Any] = json.loads(state.read_text("utf-8"))
    return read


def take_readme(browser: Browser, state: dict[str, Any]) -> None:
    for name, (path, theme) in README.items():
        page = sign_in(browser, state, README_SIZE, theme)
        visit(page, state["app_url"] + path)
        page.screenshot(path=ROOT / f"docs/images/{name}.png")
        page.context.close()


def take_all(browser: Browser, state: dict[str, Any], output: Path, size: str, theme: Theme) -> None:
    """Take every page as a whole, and the login before it."""
    page = sign_in(browser, state, SIZES[size], theme, login=output / f"login-{size}-{theme}.png")
    for name, path in PAGES.items():
        visit(page, state["app_url"] + path)
        page.screenshot(path=output / f"{name}-{size}-{theme}.png", full_page=True)
    visit(page, state["app_url"] + PAGES["calls"])
    if path := page.evaluate("document.querySelector('a[href*=\"/dashboard/calls/\"]')?.getAttribute('href')"):
        visit(page, state["app_url"] + path)
        page.screenshot(path=output / f"call-{size}-{theme}.png", full_page=True)
    page.context.close()


def sign_in(
    browser: Browser, state: dict[str, Any], size: tuple[int, int], theme: Theme, login: Path | None = None
) -> Page:
    """Return a window of the operator. Take the page `login` first, if asked for."""
    viewport = ViewportSize(width=size[0], height=size[1])
    page = browser.new_context(viewport=viewport, color_scheme=theme).new_page()
    visit(page, f"{state['app_url']}/dashboard/login")
    if login:
        page.screenshot(path=login, full_page=True)
    page.get_by_label("Username", exact=True).fill(state["operator"]["username"])
    page.get_by_label("Password", exact=True).fill(state["operator"]["password"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/")
    return page


def visit(page: Page, url: str) -> None:
    """Open a page, and again: its first view may have found stale figures."""
    for _ in range(2):
        page.goto(url, wait_until="load")


if __name__ == "__main__":
    main()
