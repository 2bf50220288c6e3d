"""Every request field that the vendors' SDKs know is on the list of /v1: passed, priced or refused."""

import subprocess

from .conftest import ROOT, UV

SDKS = ("openai>=3.57", "anthropic>=2.14")


def test_every_field_of_the_vendors_sdks_is_on_the_list() -> None:
    packages = [argument for package in SDKS for argument in ("--with", package)]
    command = [UV, "run", "--quiet", "--no-project", "--isolated", *packages, "python", "tests/sdk/fields.py"]
    compared = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert compared.returncode == 0, compared.stdout + compared.stderr
