"""Code that is as it is for speed says by which row of benchmarks/RESULTS.md; what that row says is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ("domain", "store", "projections", "api", "console", "workers", "cli")
POINTER = re.compile(r'# RESULTS\.md: "([^"]+)"$', re.MULTILINE)


def test_each_pointer_leads_to_a_row() -> None:
    tried = (ROOT / "benchmarks/RESULTS.md").read_text().partition("## What was tried")[2]
    found = {
        pointer: file.name
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        for pointer in POINTER.findall(file.read_text())
    }
    assert len(found) > 20
    rows = [line for line in tried.splitlines() if line.startswith("| ")]
    assert not {pointer: file for pointer, file in found.items() if not any(pointer in row for row in rows)}
