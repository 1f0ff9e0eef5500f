"""The supervisor: what ends is started again, with growing pauses."""

from cli.errors import Failure
from cli.process.supervisor import Part


class Process:
    """A process that ends when told."""

    def __init__(self) -> None:
        self.code: int | None = None

    def exit_code(self) -> int | None:
        return self.code


class Bench:
    """A part whose processes and clock the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.processes: list[Process] = []
        self.broken = False
        self.part = Part("it", self._start, clock=lambda: self.now)
        self.part.start()

    def _start(self) -> Process:
        if self.broken:
            raise Failure("no")
        self.processes.append(Process())
        return self.processes[-1]

    def end(self) -> None:
        self.processes[-1].code = 1

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.part.watch()


def test_a_running_part_is_left_alone() -> None:
    bench = Bench()
    bench.pass_time(1)
    assert len(bench.processes) == 1


def test_the_first_restart_is_at_once() -> None:
    bench = Bench()
    bench.end()
    bench.pass_time(0)
    assert len(bench.processes) == 2


def test_restarts_in_a_row_wait_longer_each_time() -> None:
    bench = Bench()
    pauses = []
    for _ in range(5):
        bench.end()
        bench.part.watch()
        before = bench.now
        count = len(bench.processes)
        while bench.processes[-1].code is not None:
            bench.pass_time(0.5)
        assert len(bench.processes) <= count + 1
        pauses.append(bench.now - before)
    assert pauses == [0, 0.5, 1, 2, 4]


def test_a_part_that_ran_long_restarts_at_once_again() -> None:
    bench = Bench()
    for _ in range(3):
        bench.end()
        bench.pass_time(0)
        bench.pass_time(30)
    bench.pass_time(60)
    bench.end()
    count = len(bench.processes)
    bench.pass_time(0)
    assert len(bench.processes) == count + 1


def test_a_part_that_cannot_start_is_tried_again() -> None:
    bench = Bench()
    bench.end()
    bench.broken = True
    bench.pass_time(0)
    bench.pass_time(0.5)
    bench.broken = False
    for _ in range(10):
        bench.pass_time(0.5)
    assert len(bench.processes) == 2
