"""compose.ha.yaml: the parts of several hosts, checked by structure as compose.yaml is, and by the programs that are at hand."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import skald
from cli.settings import Settings, variable
from tests.unit.repository import test_compose as one

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.ha.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "skald"]
PAGE = re.findall(
    r"^```haproxy\n(.*?)^```", (ROOT / "docs" / "several-hosts.md").read_text(), re.MULTILINE | re.DOTALL
)
ONCE = ("setup", "migrate")


def test_the_top_level_is_what_compose_knows() -> None:
    known = {"name", "services", "volumes", "configs"}
    assert {key for key in COMPOSE if not key.startswith("x-")} == known


def test_each_part_is_there_as_often_as_it_takes_to_lose_one() -> None:
    for part, count in {"etcd": 3, "postgres": 3, "valkey": 2, "sentinel": 3, "api": 2, "worker": 2}.items():
        assert len([name for name in SERVICES if name.startswith(f"{part}-")]) == count


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_known_keys_of_the_right_shape(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= one.SERVICE_KEYS | {"configs", "hostname"}
    assert all(isinstance(word, str) for word in service.get("command", []))
    assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    assert service["restart"] in {"unless-stopped", "on-failure"}
    assert one.DURATION.fullmatch(service.get("stop_grace_period", "10s"))
    if name not in {*ONCE, "proxy"}:
        check = service["healthcheck"]
        assert set(check) <= one.HEALTH_KEYS
        assert check["test"][0] == "CMD"
        assert all(one.DURATION.fullmatch(check[key]) for key in ("interval", "timeout"))
    for other, wish in service.get("depends_on", {}).items():
        assert wish["condition"] in one.CONDITIONS
        assert wish["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_those_of_compose_yaml(name: str) -> None:
    service = SERVICES[name]
    command, *options = service["command"]
    called = skald.get_command(click.Context(skald), command)
    assert called is not None
    assert set(options) <= {option for parameter in called.params for option in parameter.opts}
    assert set(service["environment"]) <= {variable(field) for field in Settings.__struct_fields__}
    for key in ("read_only", "cap_drop", "security_opt", "env_file", "init", "tmpfs"):
        assert service[key] == one.SERVICES["api"][key]


def test_volumes_and_configs_are_declared_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])
    assert {one["source"] for one in SERVICES["proxy"]["configs"]} == set(COMPOSE["configs"])


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            for secret in re.findall(r"://[^:/]+:([^@]+)@", value) + ([value] if "PASSWORD" in name else []):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", secret), name


def test_names_that_parts_know_each_other_by_exist() -> None:
    text = (ROOT / "compose.ha.yaml").read_text()
    known = set(SERVICES)
    named = set(re.findall(r"\b((?:etcd|postgres|valkey|sentinel|api|worker)-(?:one|two|three))\b", text))
    assert named <= known


@pytest.mark.skipif(
    shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None, reason="haproxy is not installed"
)
@pytest.mark.parametrize("text", [COMPOSE["configs"]["haproxy"]["content"], *PAGE], ids=["compose", "page"])
def test_haproxy_takes_its_settings(text: str, tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    # Names are known within Compose alone.
    file.write_text(text)
    done = subprocess.run(
        [str(shutil.which("haproxy", path="/usr/sbin:/usr/bin")), "-c", "-f", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
