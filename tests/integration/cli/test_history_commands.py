"""`skald verify`, `replay`, `export`, `import`, `backup` and `restore`, as an operator types them."""

import json
from pathlib import Path

import psycopg

from tests.integration.cli.test_cli import Run, answer, folder, on_database, skald
from tests.integration.projections.rebuild.test_rebuild import write

__all__ = ["folder", "on_database"]


async def test_verify_tells_by_its_exit_code(on_database: Run, fresh_database_url: str) -> None:
    await write(fresh_database_url, 31, 30)
    assert answer(on_database("verify", "--json"))["sound"] is True
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("UPDATE artifacts SET latest_version = 99")
    broken = on_database("verify")
    assert broken.returncode == 1
    assert "BROKEN  read models are the fold of the log" in broken.stdout
    repaired = on_database("replay")
    assert "artifacts:" in repaired.stdout
    assert on_database("verify").returncode == 0
    assert answer(on_database("replay", "--projection=labels", "--json"))["equal"] is True


def test_an_export_is_imported_into_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    first, second = str(folder / "first"), str(folder / "second")
    project = answer(skald("project", "create", "Docs", f"--data-dir={first}", "--json"))
    answer(skald("user", "create", "ada@example.org", f"--data-dir={first}", "--json"))
    answer(
        skald(
            "key",
            "create",
            "--user=ada@example.org",
            "--all-projects",
            "--scope=*",
            f"--data-dir={first}",
            "--json",
        )
    )
    file = tmp_path / "log.tar.gz"
    (tmp_path / f"{file.name}.part").touch(mode=0o644)  # an export that was cut off
    assert answer(skald("export", str(file), f"--data-dir={first}", "--json"))["position"] == 1
    assert file.stat().st_mode & 0o777 == 0o600

    answer(skald("import", str(file), f"--data-dir={second}", "--json"))

    again = skald("import", str(file), f"--data-dir={second}", "--json")
    assert "has a log already" in json.loads(again.stdout)["error"]["detail"]
    assert (
        answer(skald("project", "create", "More", f"--data-dir={second}", "--json"))["id"]
        == project["id"] + 1
    )
    assert answer(skald("key", "list", f"--data-dir={second}", "--json"))["keys"] == []


def test_a_backup_brings_the_database_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    data = f"--data-dir={folder / 'data'}"
    answer(skald("user", "create", "ada@example.org", data, "--json"))
    answer(skald("key", "create", "--user=ada@example.org", "--all-projects", "--scope=*", data, "--json"))
    kept = answer(skald("key", "list", data, "--json"))
    file = tmp_path / "skald.dump"
    answer(skald("backup", str(file), data, "--json"))
    assert file.stat().st_mode & 0o077 == 0
    answer(skald("user", "create", "eve@example.org", data, "--json"))

    answer(skald("restore", str(file), data, "--json"))

    assert answer(skald("key", "list", data, "--json")) == kept
    assert answer(skald("user", "create", "eve@example.org", data, "--json"))["email"] == "eve@example.org"
    broken = tmp_path / "broken.dump"
    broken.write_bytes(b"no dump")
    assert skald("restore", str(broken), data).returncode == 1
    assert answer(skald("key", "list", data, "--json")) == kept


def test_a_restore_does_not_overwrite_a_database_of_others(on_database: Run, tmp_path: Path) -> None:
    file = tmp_path / "skald.dump"
    answer(on_database("backup", str(file), "--json"))
    refused = on_database("restore", str(file))
    assert refused.returncode == 1
    assert "not empty" in refused.stderr


def test_a_file_name_that_would_clear_the_screen_is_shown_as_it_is_written(
    on_database: Run, tmp_path: Path
) -> None:
    file = tmp_path / "log\x1b[2J\u202e.tar.gz"
    done = on_database("export", str(file))
    assert file.exists()
    assert "log\\x1b[2J\\u202e.tar.gz: the log up to position" in done.stdout
    assert "\x1b" not in done.stdout
    dump = tmp_path / "all\x1b[2J.dump"
    assert "all\\x1b[2J.dump: " in on_database("backup", str(dump)).stdout
