"""compose.yaml and Dockerfile: checked by structure, since no container engine is at hand."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import skald
from cli.settings import Settings, variable

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "worker", "migrate")

# The keys of the Compose Specification that the file may use; a misspelt one is silently ignored by some engines.
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "env_file", "environment", "healthcheck", "image", "init", "ports",
    "read_only", "restart", "security_opt", "shm_size", "stop_grace_period", "stop_signal", "tmpfs", "volumes",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"(\d+(h|m|s))+")


def test_the_top_level_is_what_compose_knows() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes"}
    assert set(SERVICES) == {"postgres", "valkey", *OURS}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_known_keys_of_the_right_shape(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= SERVICE_KEYS
    assert isinstance(service["image"], str)
    assert isinstance(service.get("command", []), list)
    assert all(isinstance(word, str) for word in service.get("command", []))
    assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    assert service["restart"] in {"unless-stopped", "on-failure", "always", "no"}
    assert DURATION.fullmatch(service.get("stop_grace_period", "10s"))


@pytest.mark.parametrize("name", ["postgres", "valkey", "api", "worker"])
def test_what_runs_has_a_health_check_that_up_wait_waits_for(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert set(check) <= HEALTH_KEYS
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert all(DURATION.fullmatch(check[key]) for key in ("interval", "timeout"))
    assert isinstance(check["retries"], int)


def test_dependencies_exist_and_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for other, wish in service.get("depends_on", {}).items():
            assert wish["condition"] in CONDITIONS
            assert other in SERVICES
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]


def test_the_schema_is_migrated_before_the_service_starts() -> None:
    for name in ("api", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_what_ends_by_itself_is_awaited_as_such() -> None:
    """`docker compose up --wait` fails for a container that has ended, unless one that runs depends on its success."""
    for name in set(SERVICES) - {"postgres", "valkey", "api", "worker"}:
        assert any(
            service.get("depends_on", {}).get(name) == {"condition": "service_completed_successfully"}
            for service in SERVICES.values()
        ), name


@pytest.mark.parametrize("name", OURS)
def test_settings_in_the_file_env_reach_our_containers(name: str) -> None:
    service = SERVICES[name]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    # What the containers' own addresses depend on, and what is asked for by name, alone.
    fixed = {
        "SKALD_DATABASE_URL", "SKALD_REDIS_URL", "SKALD_HOST", "SKALD_PORT", "SKALD_DATA_DIR", "SKALD_WORKERS"
    }  # fmt: skip
    assert set(service["environment"]) <= fixed
    assert service["environment"]["SKALD_PORT"] == SERVICES["api"]["ports"][0].rpartition(":")[2]


def test_named_volumes_are_declared_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_postgres_18_keeps_its_data_where_the_image_has_it() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            for secret in re.findall(r"://[^:/]+:([^@]+)@", value) + ([value] if "PASSWORD" in name else []):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", secret), name


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_call_commands_and_settings_that_exist(name: str) -> None:
    command, *options = SERVICES[name]["command"]
    called = skald.get_command(click.Context(skald), command)
    assert called is not None
    known = {option for parameter in called.params for option in parameter.opts}
    assert set(options) <= known
    assert set(SERVICES[name]["environment"]) <= {variable(field) for field in Settings.__struct_fields__}


def test_the_api_has_several_processes() -> None:
    assert SERVICES["api"]["environment"]["SKALD_WORKERS"] == "${SKALD_WORKERS:-4}"


DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_installs_from_the_lock_and_runs_as_a_plain_user() -> None:
    last_stage = DOCKERFILE.split("\nFROM ")[-1]
    assert "--require-hashes" in DOCKERFILE
    assert re.search(r"^USER (?!root)\w+$", last_stage, re.MULTILINE)
    assert "pip install" not in last_stage


def test_the_image_builds_from_files_that_its_context_has() -> None:
    context = {
        line.lstrip("!").strip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    rooms = {"domain", "store", "projections", "api", "console", "workers", "cli", "skald"}
    assert context == rooms | {"constraints.txt", "pyproject.toml", "setup.py", "README.md"}


def test_the_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    lock = (ROOT / "constraints.txt").read_text()
    assert "://" not in lock
    packages = re.findall(r"^([a-z0-9][^ ]*) \\\n    --hash=sha256:", lock, re.MULTILINE)
    pinned = [line for line in lock.splitlines() if line and line[0] not in " #"]
    assert len(packages) == len(pinned)
    assert all("==" in package for package in packages)
