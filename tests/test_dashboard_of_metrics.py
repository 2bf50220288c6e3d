"""docs/grafana.json speaks of exactly the metrics that a project has."""

import json
import re
from typing import Any

from .conftest import ROOT, Bake

SUFFIXES = {"Counter": "_total", "Gauge": "", "GaugeMetricFamily": "", "Histogram": "_bucket"}


def test_the_grafana_dashboard_uses_every_metric_and_no_other(bake_once: Bake) -> None:
    project = bake_once()
    source = "\n".join(project.read(path) for path in project.package.rglob("*.py"))
    kinds = "|".join(SUFFIXES)
    defined = {name + SUFFIXES[kind] for kind, name in re.findall(rf'\b({kinds})\(\s*"(\w+)"', source)}
    dashboard: dict[str, Any] = json.loads((ROOT / "docs/grafana.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = set(re.findall(r"\b((?:http|llm|budget|cycles|housekeeping)_\w+)", " ".join(expressions)))
    assert used == defined
    labels = {label for found in re.findall(r"by \(([^)]*)\)", " ".join(expressions)) for label in found.split(", ")}
    assert labels <= {"status", "outcome", "reason", "per_cent", "le", "instance"}
