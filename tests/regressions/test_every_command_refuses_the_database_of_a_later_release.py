"""`serve` refused a database that a later release had migrated; the worker and the other commands wrote into it."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.integration.cli.test_cli import skald

LATER = "INSERT INTO schema_migrations (number, name, sha256) VALUES (9001, 'later', '')"
COMMANDS = [
    ["worker"],
    ["worker", "--check"],
    ["migrate"],
    ["project", "list"],
    ["user", "create", "ada@example.com"],
    ["share", "list"],
    ["verify"],
    ["replay"],
    ["export", "log.tar.gz"],
    ["backup", "skald.dump"],
]


@pytest.fixture
def later_database(fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute(LATER)
    return fresh_database_url


def refused(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "belongs to a later release" in line


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_on_a_given_database(later_database: str, arguments: list[str], tmp_path: Path) -> None:
    arguments = [str(tmp_path / word) if "." in word and "@" not in word else word for word in arguments]
    refused(skald(*arguments, SKALD_DATABASE_URL=later_database))


def test_the_check_of_a_worker_says_how_the_followers_are(fresh_database_url: str) -> None:
    none_yet = skald("worker", "--check", SKALD_DATABASE_URL=fresh_database_url)
    assert none_yet.returncode == 1
    assert "no follower has ever run" in none_yet.stderr
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute("INSERT INTO checkpoints (follower, position) VALUES ('activity', 0)")
        # Of a service with Redis, which this one has not.
        conn.execute(
            "INSERT INTO checkpoints (follower, position, error, failed_at) VALUES ('cache', 0, 'away', now())"
        )
    well = skald("worker", "--check", SKALD_DATABASE_URL=fresh_database_url)
    assert (well.returncode, well.stdout) == (0, "activity: 0 events behind\n")
    with psycopg.connect(fresh_database_url) as conn:
        conn.execute(
            "UPDATE checkpoints SET error = 'bro\x1b[2Jken', failed_at = now() WHERE follower = 'activity'"
        )
    stuck = skald("worker", "--check", SKALD_DATABASE_URL=fresh_database_url)
    assert (stuck.returncode, stuck.stderr) == (1, "skald: activity: bro\\x1b[2Jken\n")
