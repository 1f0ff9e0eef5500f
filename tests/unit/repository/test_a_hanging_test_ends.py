"""A test that hangs costs itself alone (``tests/support/limits.py``)."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT

HANGING = """
import asyncio, signal, time
import pytest
from tests.support import limits

limits.AGAIN, limits.GRACE = 0.3, 1.0


async def test_a_callback_swallows_the_first_alarm():
    asyncio.get_running_loop().call_soon(time.sleep, 60)
    await asyncio.Event().wait()


@pytest.fixture
def hanging_teardown():
    yield
    time.sleep(60)


def test_a_failure_takes_the_timer_from_the_teardown(hanging_teardown):
    assert not "right"


def test_no_signal_is_let_in():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(60)


def test_the_next_one_is_run():
    pass
"""


def test_a_hanging_test_ends_with_a_stack_and_the_others_are_run(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\ntimeout = 0.5\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n1", "-rfE"),
            *("-pxdist.plugin", "-ppytest_timeout", "-ppytest_asyncio.plugin", "-ptests.support.limits"),
            *("-pno:cacheprovider", tmp_path),
        ],
        cwd=tmp_path,
        # What pytest says to its own processes is not for another pytest.
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    *_, last = done.stdout.splitlines()
    assert all(count in last for count in ("3 failed", "1 passed", "1 error")), done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED test", "ERROR test"))]
    assert [line.split("::")[1].split(" ")[0] for line in said] == [
        "test_a_callback_swallows_the_first_alarm",
        "test_a_failure_takes_the_timer_from_the_teardown",
        "test_no_signal_is_let_in",
        "test_a_failure_takes_the_timer_from_the_teardown",
    ]
    # The stack of the process that ended, which the others have in their reports.
    assert "in test_no_signal_is_let_in" in done.stderr
    assert done.stdout.count("Timeout (>0.5s)") >= 2
