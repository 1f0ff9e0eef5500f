"""Tables of the benchmarks."""

import pytest

from benchmarks.report import Table, show, wide_console


def test_in_a_pipe_no_cell_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [f"a cell of some length, number {number}" for number in range(12)]
    table = Table(title="Wide", head=tuple(cells), notes=["One note."])
    table.add(*reversed(cells))

    show(table, wide_console())

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if all(cell in line for cell in cells)] == [lines[2], lines[4]]
    assert max(map(len, lines)) < 600
