"""Which version brought each line of a text. Pure.

A text is followed back through the versions that changed it, and through the renames of its file. Versions that left it alone
cost nothing. Bounds: ``MAX_STEPS`` changes and ``MAX_WALKED`` bytes back from the requested version; lines that are older
are given to the oldest version that was looked at, and the answer says that it is not complete. A text over ``MAX_BYTES``
or ``MAX_LINES`` is not compared at all, and neither is what is no text.
"""

from collections.abc import Iterable, Mapping

import msgspec

from domain.artifacts.skills import FileRef, Skill, SkillFileRenamed
from domain.artifacts.versioned import Versioned
from domain.content import Ref
from domain.events import Event
from projections.compare.lines import Effort, opcodes, split

MAX_BYTES = 200_000
MAX_LINES = 10_000
MAX_STEPS = 1_000
MAX_WALKED = 20_000_000  # bytes of texts that are compared
EFFORT = 20_000_000  # steps for all comparisons: some seconds; then they come out coarser


class Step(msgspec.Struct, frozen=True):
    """A content and the version that brought it."""

    number: int
    ref: Ref


class Trail:
    """The contents that the body (path None) and each file went through, as the events of a stream go by."""

    def __init__(self) -> None:
        self._steps: dict[str | None, list[Step]] = {}
        self._files: Mapping[str, FileRef] = {}

    def follow(self, event: Event, state: Versioned) -> None:
        """``state`` is the one that ``event`` led to."""
        self._see(None, state.number, state.text)
        # The fold leaves the files as they are when an event does not concern them.
        if isinstance(state, Skill) and state.files is not self._files:
            self._follow_files(event, state)

    def _follow_files(self, event: Event, state: Skill) -> None:
        if isinstance(event, SkillFileRenamed):
            self._steps[event.new_path] = self._steps.pop(event.old_path)
        for path in self._files.keys() - state.files.keys():
            self._steps.pop(path, None)
        for path, file in state.files.items():
            self._see(path, state.number, file.ref)
        self._files = state.files

    def _see(self, path: str | None, number: int, ref: Ref) -> None:
        steps = self._steps.setdefault(path, [])
        if not steps or steps[-1].ref != ref:
            steps.append(Step(number, ref))

    def of(self, path: str | None) -> list[Step]:
        """The contents up to the one at ``path`` now, oldest first; none for a file that does not exist."""
        return self._steps.get(path, [])


def bounded(steps: list[Step]) -> list[Step]:
    """The newest steps that are looked at, oldest first; at least the last one."""
    first, walked = len(steps) - 1, steps[-1].ref.size
    while first > 0 and len(steps) - first < MAX_STEPS and walked + steps[first - 1].ref.size <= MAX_WALKED:
        first -= 1
        walked += steps[first].ref.size
    return steps[first:]


class Blame:
    """The lines of a text with the number of the version that brought each, as ``advance`` brings its contents in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: list[int] = []
        self._effort = Effort(EFFORT)

    def advance(self, texts: Iterable[tuple[int, str]]) -> None:
        """The next contents: the number of the version that brought it, and the text."""
        for number, text in texts:
            lines = split(text)
            numbers: list[int] = []
            for tag, i1, i2, j1, j2 in opcodes(self.lines, lines, self._effort):
                numbers += self.numbers[i1:i2] if tag == "equal" else [number] * (j2 - j1)
            self.lines, self.numbers = lines, numbers
