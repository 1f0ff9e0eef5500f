"""The health checks of compose.yaml, run as they stand there against a service."""

import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.support.servers import ROOT, SKALD, eventually, free_port
from tests.support.service import MakeService

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
PROGRAMS = {"skald": SKALD, "python": (sys.executable,)}


def exit_code(name: str, port: int, env: dict[str, str]) -> int:
    """Run the check of a container, where the programs have other paths and the port is the test's."""
    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [*PROGRAMS[program], *(word.replace("8000", str(port)) for word in arguments)]
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    done = subprocess.run(
        command, env={**shown, **env}, cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    return done.returncode


@pytest.mark.parametrize("name", ["api", "worker"])
def test_they_tell_a_service_that_is_well_from_none(
    name: str, make_service: MakeService, fresh_database_url: str
) -> None:
    env = {"SKALD_DATABASE_URL": fresh_database_url}
    assert exit_code(name, free_port(), env) == 1

    service = make_service(database_url=fresh_database_url, redis_url=None, followers=True)
    eventually(lambda: exit_code(name, service.port, env) == 0, f"the check of {name}", timeout=60)
