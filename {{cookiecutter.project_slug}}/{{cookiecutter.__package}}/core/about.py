"""Names of the project, as answered when it was generated."""

import json
from pathlib import Path

_ABOUT = json.loads(Path(__file__).with_name("about.json").read_text(encoding="utf-8"))

TITLE: str = _ABOUT["title"]
DESCRIPTION: str = _ABOUT["description"]
DISTRIBUTION: str = _ABOUT["distribution"]
"""The name in pyproject.toml, and the default of CYCLES_APP."""
