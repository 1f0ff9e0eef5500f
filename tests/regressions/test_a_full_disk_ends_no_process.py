"""What processes share in files has its place before it is touched, and what cannot be used is told in one line."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar

from api.app import route_handlers
from api.cache.positions import StreamPositions
from api.http.errors import STATUS, answer_for
from api.server import metrics as measuring
from api.server.observability import UNMATCHED
from cli.process.supervisor import Part, tell
from store.postgres.room import RESERVE, Room
from tests.support.servers import ROOT


def is_allocated(file: Path) -> bool:
    found = file.stat()
    return found.st_blocks * 512 >= found.st_size > 0


def test_the_table_of_marks_is_no_sparse_file(tmp_path: Path) -> None:
    StreamPositions(tmp_path / "positions").close()
    assert is_allocated(tmp_path / "positions")


def test_a_sparse_table_of_an_earlier_release_is_filled_and_keeps_its_values(tmp_path: Path) -> None:
    positions = StreamPositions(tmp_path / "positions")
    positions.advance_all([7], 12)
    positions.close()
    values = (tmp_path / "positions").read_bytes().rstrip(b"\0")
    (tmp_path / "positions").unlink()
    with (tmp_path / "positions").open("wb") as file:
        file.write(values)
        file.truncate(8 * (1 << 16) + 8)
    assert not is_allocated(tmp_path / "positions")
    again = StreamPositions(tmp_path / "positions")
    assert is_allocated(tmp_path / "positions")
    assert again.has_reached([(7, 12)])
    assert not again.has_reached([(7, 13)])
    again.close()


COUNT = """
import sys
from pathlib import Path
from api.server.metrics import open_metrics
metrics = open_metrics(Path(sys.argv[1]))
metrics.observe_request("GET", "/x", 200, 0.001)
metrics.observe_pool({"pool_size": 3})
metrics.flush()
print(metrics.exposition().decode())
"""


def scrape(folder: Path) -> dict[str, float]:
    """What a process of its own says that has counted one request, and is dead then."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [line.rpartition(" ") for line in done.stdout.splitlines() if line.startswith("skald_")]
    return {name: float(value) for name, _, value in lines}


def test_a_process_goes_on_with_the_files_of_a_dead_one(tmp_path: Path) -> None:
    total = 'skald_http_requests_total{method="GET",route="/x",status="200"}'
    assert [scrape(tmp_path)[total] for _ in range(3)] == [1, 2, 3]
    files = sorted(tmp_path.glob("*.db"))
    assert len(files) == len(measuring.FILES)
    assert all(is_allocated(file) for file in files)
    assert scrape(tmp_path)["skald_db_pool_connections"] == 3


def test_the_files_of_the_metrics_never_grow(tmp_path: Path) -> None:
    routes = {route.path for route in Litestar(route_handlers(), openapi_config=None).routes} | {UNMATCHED}
    assert len(routes) > 50
    program = f"""
import sys
from pathlib import Path
from api.server.metrics import open_metrics
metrics = open_metrics(Path(sys.argv[1]))
for route in {sorted(routes)!r}:
    for method in {["GET", "HEAD", "OTHER"]!r}:
        for status in {sorted({200, 304, *(status for status, _ in STATUS.values()), 499, 500})!r}:
            metrics.observe_request(method, route, status, 0.001)
metrics.flush()
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
    found = {file.stem.rpartition("_")[0]: file.stat().st_size for file in tmp_path.glob("*.db")}
    assert found == measuring.FILES


def unusable(tmp_path: Path) -> Iterator[Path]:
    """Run folders that no process can use."""
    (tmp_path / "file").touch()
    yield tmp_path / "file"
    yield tmp_path / "file" / "below"
    (tmp_path / "odd" / "positions").mkdir(parents=True)
    yield tmp_path / "odd"
    yield Path("/proc/skald")


def test_a_run_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, postgres_url: str) -> None:
    for folder in unusable(tmp_path):
        shown = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
        env = {
            **shown,
            "SKALD_DATABASE_URL": postgres_url,
            "SKALD_RUN_DIR": str(folder),
            "SKALD_WORKERS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli.server.http"],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 3
        [line] = done.stderr.splitlines()
        assert f"SKALD_RUN_DIR={folder}" in line


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_for_temporary_files_is_no_unforeseen_failure(number: int) -> None:
    answer = answer_for(OSError(number, os.strerror(number)))
    assert answer.status == 503
    assert b'"storage_full"' in answer.body
    assert b"retry-after" in dict(answer.headers)


class Process:
    def __init__(self, code: int | None) -> None:
        self._code = code

    def exit_code(self) -> int | None:
        return self._code


def test_a_supervisor_goes_on_when_the_system_has_no_room() -> None:
    attempts = 0

    def start() -> Process:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Process(None)

    now = 0.0
    part = Part("it", start, running=Process(1), clock=lambda: now)
    part.watch()
    assert attempts == 1
    now += 60
    part.watch()
    assert attempts == 2


def test_a_line_for_the_operator_that_finds_no_room_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stderr", full)
    tell("it ended")
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_a_command_whose_data_folder_cannot_be_written_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "servers.json").mkdir()  # cannot be unlinked as a file
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "verify", f"--data-dir={tmp_path / 'data'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert str(tmp_path / "data") in line


def test_there_is_room_where_nothing_is_known_and_none_on_a_disk_without(tmp_path: Path) -> None:
    assert Room().is_left()
    assert Room(tmp_path / "nothing").is_left()
    free = os.statvfs(tmp_path)
    assert Room(tmp_path).is_left() == (free.f_bavail * free.f_frsize >= RESERVE)
