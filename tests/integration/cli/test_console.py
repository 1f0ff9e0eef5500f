"""`skald console` prints a link that signs a browser in, and a start shows it to a terminal alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cli.server.serve import Service as Serving
from cli.settings import Settings
from store.postgres.connection import Connection
from store.tables import identity
from tests.support import commands
from tests.support.service import Service


def skald(service: Service, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
    return commands.run(
        *("console", *arguments, "--data-dir", str(data)),
        env={**shown, "SKALD_DATABASE_URL": service.database_url, "SKALD_PORT": str(service.port)},
    )


def test_the_link_signs_in_once(running_service: Service, tmp_path: Path) -> None:
    missing = skald(running_service, tmp_path)
    assert missing.returncode == 1
    assert "no key in" in missing.stderr
    (tmp_path / "first-key").write_text(f"{running_service.key}\n")
    url = skald(running_service, tmp_path).stdout.strip()
    assert url.startswith(f"{running_service.base_url}/console/enter/")
    answers = [httpx.get(url).status_code for _ in range(2)]
    assert answers == [303, 401]


def test_a_key_may_be_named(running_service: Service, tmp_path: Path) -> None:
    user = running_service.make_user()

    async def make(conn: Connection) -> identity.Key:
        made, _ = await identity.create_key(conn, email=user.email, scopes=("llm_skill:read",))
        return made

    key = running_service._identity(make)
    link = json.loads(skald(running_service, tmp_path, "--key", str(key.id), "--json").stdout)
    assert link["seconds"] == 3600
    assert httpx.get(link["url"]).status_code == 303
    elsewhere = skald(running_service, tmp_path, "--key", str(key.id), "--url", "https://skald.example/x/")
    assert elsewhere.stdout.startswith("https://skald.example/x/console/enter/")
    unknown = skald(running_service, tmp_path, "--key", "00000000-0000-4000-8000-000000000000")
    assert unknown.returncode == 1
    assert "skald key list" in unknown.stderr


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_start_shows_the_link_to_a_terminal_alone(
    running_service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    on_terminal: bool,
) -> None:
    from cli.server.first_key import FirstKey

    key = FirstKey(1, running_service.key, tmp_path / "first-key", is_new=False)
    settings = Settings.from_env({"SKALD_PORT": str(running_service.port), "SKALD_DATA_DIR": str(tmp_path)})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal)
    Serving(settings)._greet(key, running_service.database_url)
    shown = capsys.readouterr().out
    assert f"Console: {running_service.base_url}/console/" in shown
    assert ("/console/enter/" in shown) is on_terminal
