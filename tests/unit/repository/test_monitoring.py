"""The dashboard and the alert rules ask for metrics that are measured."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "monitoring"
SOURCE = (ROOT / "api" / "server" / "metrics.py").read_text()
MEASURED = set(re.findall(r'"((?:skald|process)_[a-z_]+)"', SOURCE))


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yaml"])
def test_every_metric_exists(name: str) -> None:
    named = {
        found.removesuffix("_bucket")
        for found in re.findall(r"\b(?:skald|process)_[a-z_]+", (FOLDER / name).read_text())
    }
    assert named
    assert named <= MEASURED


def test_the_dashboard_has_a_panel_for_each_question() -> None:
    panels = json.loads((FOLDER / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    assert all(target["expr"] for panel in panels for target in panel["targets"])
