"""The embedded servers: start, stop, crash and start again, on the real programs."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from cli.embedded.folder import LONGEST_SOCKET_FOLDER, SHARED_HOME, DataFolder, FolderInUse
from cli.embedded.postgres import ServerFailed
from cli.embedded.servers import EmbeddedServers
from cli.process.child import Child, processes_in
from tests.support.servers import ROOT, StartServers, eventually, is_running, make_folder

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="the servers change their user only when started by root"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder for one test; what the servers put elsewhere goes, too."""
    path = make_folder()
    yield path
    note = path / "server-home"
    if note.exists():
        shutil.rmtree(note.read_text().strip())
    shutil.rmtree(path)


def value(database_url: str, query: str) -> object:
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def run(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_the_shared_database_has_the_schema(postgres_url: str) -> None:
    assert value(postgres_url, "SELECT count(*) > 0 FROM schema_migrations") is True


def test_the_shared_cache_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


def test_a_new_server_is_durable_sorts_by_code_point_and_has_no_tcp(private_servers: StartServers) -> None:
    servers = private_servers(cache=False)
    assert value(servers.database_url, "SHOW fsync") == "on"
    assert value(servers.database_url, "SHOW listen_addresses") == ""
    assert value(servers.database_url, "SHOW server_encoding") == "UTF8"
    provider = "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'skald'"
    assert value(servers.database_url, provider) == "b C.UTF-8"
    assert servers.runtime_dir.stat().st_mode & 0o777 == 0o700


def test_the_cache_listens_on_its_socket_only_and_forgets_when_full(private_servers: StartServers) -> None:
    servers = private_servers(database=False)
    with redis.Redis.from_url(servers.redis_url) as client:
        settings = client.config_get("*")
    assert (settings["port"], settings["save"]) == ("0", "")
    assert settings["maxmemory-policy"] == "volatile-lru"


def test_data_survives_a_stop_and_a_crash(private_servers: StartServers) -> None:
    servers = private_servers(cache=False)
    assert servers.postgres is not None
    run(servers.database_url, "CREATE TABLE kept (number int)")
    servers.postgres.stop()
    servers.postgres.start()
    run(servers.database_url, "INSERT INTO kept VALUES (1)")
    servers.postgres.kill()
    servers.postgres.start()
    assert value(servers.database_url, "SELECT number FROM kept") == 1


def test_a_killed_cache_starts_again_at_the_same_address(private_servers: StartServers) -> None:
    servers = private_servers(database=False)
    assert servers.valkey is not None
    servers.valkey.kill()
    servers.valkey.start()
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.ping()


def test_a_killed_parent_leaves_no_server_and_the_next_start_recovers(folder: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from cli.embedded.servers import EmbeddedServers\n"
        "with EmbeddedServers(Path(sys.argv[1])) as servers:\n"
        "    print(servers.postgres.child.pid, servers.valkey.child.pid, flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", script, str(folder)]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert all(is_running(pid) for pid in pids)
    parent.kill()
    parent.wait()
    eventually(lambda: not any(is_running(pid) for pid in pids), "the servers end with their parent")
    parent.stdout.close()
    with EmbeddedServers(folder) as servers:
        assert value(servers.database_url, "SELECT 1") == 1


def test_a_start_waits_until_the_server_of_a_crash_has_ended(folder: Path) -> None:
    with EmbeddedServers(folder, cache=False) as first:
        assert first.postgres is not None
        cluster, child = first.postgres.cluster, first.postgres.child
        assert child is not None
        assert child.pid in processes_in(cluster, "postgres")
        # Forgotten, as if its parent had died and the signal were still on its way.
        first.postgres.child = None
        threading.Timer(0.5, child.send, [signal.SIGQUIT]).start()
        first.postgres.start()
        assert value(first.database_url, "SELECT 1") == 1
        child.wait(5)


def test_a_pid_file_that_names_another_living_process_is_no_obstacle(folder: Path) -> None:
    with EmbeddedServers(folder, cache=False) as servers:
        assert servers.postgres is not None
        servers.postgres.kill()
        stale = servers.postgres.cluster / "postmaster.pid"
        eventually(lambda: not processes_in(stale.parent, "postgres"), "the backends end with the server")
        lines = stale.read_text().splitlines()
        stale.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
        servers.postgres.start()
        assert value(servers.database_url, "SELECT 1") == 1


def test_a_cluster_that_was_half_made_is_made_anew(folder: Path) -> None:
    with DataFolder(folder) as held, EmbeddedServers(held, cache=False) as servers:
        assert servers.postgres is not None
        home = servers.postgres.cluster.parent
    shutil.rmtree(home / "postgres")
    half = home / "postgres.new-1"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServers(folder, cache=False) as servers:
        assert value(servers.database_url, "SELECT 1") == 1
    assert not half.exists()


def test_data_of_another_version_is_refused_with_the_way_out(folder: Path) -> None:
    with EmbeddedServers(folder, cache=False) as servers:
        assert servers.postgres is not None
        version = servers.postgres.cluster / "PG_VERSION"
    version.write_text("13\n")
    with pytest.raises(ServerFailed, match="PostgreSQL 13"), EmbeddedServers(folder, cache=False):
        pass


def test_a_deep_folder_has_its_sockets_elsewhere(folder: Path) -> None:
    deep = folder / ("a" * 60) / ("b" * 60)
    deep.parent.mkdir(mode=0o711)
    with EmbeddedServers(deep, cache=False) as servers:
        sockets = servers.runtime_dir
        assert len(str(sockets)) <= LONGEST_SOCKET_FOLDER
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert value(servers.database_url, "SELECT 1") == 1
    assert not sockets.exists()


def test_a_folder_in_use_is_refused_with_the_pid(folder: Path) -> None:
    with DataFolder(folder), pytest.raises(FolderInUse, match=f"process {os.getpid()}"), DataFolder(folder):
        pass


@as_root
def test_a_folder_that_the_servers_user_cannot_reach_stays_as_it_is(folder: Path) -> None:
    closed = Path(tempfile.mkdtemp(dir=folder))
    data = closed / "data"
    try:
        with EmbeddedServers(data) as servers:
            assert servers.postgres is not None
            home = servers.postgres.cluster.parent
            assert home.parent == SHARED_HOME
            assert home.stat().st_mode & 0o777 == 0o700
            assert home.stat().st_uid != 0
            run(servers.database_url, "CREATE TABLE kept ()")
        with EmbeddedServers(data, cache=False) as servers:
            assert value(servers.database_url, "SELECT count(*) FROM kept") == 0
        assert closed.stat().st_mode & 0o777 == 0o700
        assert (data / "server-home").read_text() == f"{home}\n"
    finally:
        shutil.rmtree(Path((data / "server-home").read_text().strip()))


@as_root
def test_the_servers_do_not_run_as_root(private_servers: StartServers) -> None:
    servers = private_servers()
    assert servers.postgres is not None
    assert servers.valkey is not None
    for server in (servers.postgres, servers.valkey):
        assert server.child is not None
        assert Path(f"/proc/{server.child.pid}").stat().st_uid != 0


def test_a_child_is_not_started_from_a_thread_that_may_end_before_it() -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            Child("it", ["/bin/true"])
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(caught) == 1
