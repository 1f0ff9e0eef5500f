"""`--follow`: keep a project equal to one of another Skald, by its feed.

Nothing of how far it came is kept beside the project: each start compares everything, which is two lists when nothing is new, and goes on
from the end that the feed had before that. What an event is about is then compared again, as it is by now; so an event
that comes twice changes nothing, and neither does a kill between two requests.
"""

import random
import time
from collections.abc import Iterable, Sequence
from typing import NotRequired, TypedDict

from cli.client import answers
from cli.client.remote import Remote, RemoteFailure, Unreachable
from cli.client.remote_options import warn
from cli.errors import Failure
from cli.importing import notes
from cli.importing.from_skald import SkaldSource
from cli.importing.run import Run
from cli.importing.source import SourceArtifact
from cli.importing.target import Project
from domain.artifacts.kinds import KINDS

WAIT = 20  # seconds that one request waits for the next event
PAGE = 500  # events at once
PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between attempts while one of both services is away
BEYOND = 2**53  # above every position
REWOUND = "skald.log.rewound.v1"
SHOWN = 3  # names in a sentence
# What another process of the same mirror makes of a write that both would do.
RACED = ("version_conflict", "unique", "not_found", "version_not_found")


class EventData(TypedDict):
    old_name: NotRequired[str]


class FeedEvent(TypedDict):
    type: str
    subject: str
    data: EventData


class Feed(TypedDict):
    results: list[FeedEvent]
    position: answers.Size


class Follow:
    """``run`` ends only by a failure that waiting does not mend."""

    def __init__(self, source: SkaldSource, remote: Remote) -> None:
        self.source = source
        self.remote = remote
        self.mirror = remote.path("mirror/")
        self._compared = False
        self._pause = PAUSE

    def run(self) -> None:
        """Raises Failure."""
        self._check_alone()
        self._begin()
        while True:
            try:
                position = self._head()
                self._compare()
                self._compared = True
                warn(f"following {self.source.title} from position {position}")
                self._follow(position)
            except Raced:
                warn("another process writes here too; comparing everything")
                time.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - two are not to meet again
            except (Unreachable, RemoteFailure) as failure:
                if not self._may_pass(failure):
                    raise
                warn(f"{failure}; trying again in {self._pause:.0f} s")
                time.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _may_pass(self, failure: Unreachable | RemoteFailure) -> bool:
        """Whether waiting may mend it. Strange answers are no service at the start, and what stands before one later."""
        if isinstance(failure, Unreachable):
            return failure.code != "interrupted"
        if failure.code in ("bad_answer", "not_skald") and failure.status < 400:
            return self._compared
        return failure.status >= 500 or failure.status == 429

    def _check_alone(self) -> None:
        """Raises Failure when the project has something that was not brought: a mirror would leave it there and never change it."""
        project = Project(self.remote)
        own = [
            name
            for kind in self.source.kinds
            for name, row in project.rows(kind).items()
            if notes.time_of(row.note) is None
        ]
        if own:
            more = f" and {len(own) - SHOWN} more" if len(own) > SHOWN else ""
            raise Failure(
                f"the project has versions of its own ({', '.join(own[:SHOWN])}{more}); a mirror takes a project of its own",
                code="not_empty",
            )

    def _begin(self) -> None:
        self.remote.send("PUT", self.mirror, {"source": self.source.title})

    def _check_mirror(self) -> None:
        """Raises Failure when it was ended, or is another's."""
        found: Mirrored = self.remote.get(self.mirror, shape=Mirrored)
        if found["source"] != self.source.title:
            raise Failure(f"the project is a mirror of {found['source']} now", code="mirror")

    def _head(self) -> int:
        """The end of the source's feed: a position that no event has is answered with the last one."""
        try:
            page = self._page(BEYOND, wait=0)
        except RemoteFailure as failure:
            position = failure.extra.get("position")
            if failure.code != "log_went_back" or not isinstance(position, int):
                raise
            return position
        return page["position"]

    def _page(self, after: int, wait: int) -> Feed:
        params = {"after": after, "limit": PAGE, "wait": wait}
        return self.source.remote.get(self.source.remote.path("events/"), params, shape=Feed)

    def _compare(self) -> None:
        """Make the project what the source is now."""
        project = Project(self.remote)
        artifacts = list(self.source.artifacts())
        run = Run(self.source, self.remote, mirror=True, project=project)
        there = {(one.kind, one.name) for one in artifacts}
        run.bring(artifacts)
        if not any(one.broken for one in artifacts):
            # A row that cannot be read may be about any of them.
            gone = [(kind, name) for kind in self.source.kinds for name in sorted(project.rows(kind))]
            _archive(project, [one for one in gone if one not in there])
        _check(run)

    def _follow(self, position: int) -> None:
        """Bring what events tell of, until the log went back; then everything is compared anew."""
        project = Project(self.remote)
        for kind in self.source.kinds:
            project.rows(kind)
        while True:
            asked = time.monotonic()
            try:
                page = self._page(position, WAIT)
            except RemoteFailure as failure:
                if failure.code != "log_went_back":
                    raise
                warn(f"the log of the source went back, from {position}; comparing everything")
                return
            self._pause = PAUSE
            if any(event["type"] == REWOUND for event in page["results"]):
                warn("a new history of the source's log begins; comparing everything")
                return
            if page["results"]:
                self._check_mirror()
                self._bring(project, page["results"])
            elif time.monotonic() - asked < PAUSE:
                # What stands before the source may answer at once instead of when there is something.
                time.sleep(PAUSE)
            if page["position"] < position or (page["results"] and page["position"] == position):
                raise Failure(
                    f"{self.source.title} leads back from position {position} of its feed", code="bad_answer"
                )
            position = page["position"]

    def _bring(self, project: Project, events: Sequence[FeedEvent]) -> None:
        artifacts: dict[tuple[str, str], SourceArtifact] = {}
        gone: list[tuple[str, str]] = []
        for kind, name in _touched(events, self.source.kinds):
            found = self.source.find(kind, name)
            if found is None:
                gone.append((kind, name))
                continue
            one = artifacts.setdefault((kind, found.name), found)
            if name != found.name:
                one.earlier = (*one.earlier, name)
        _archive(project, gone)
        run = Run(self.source, self.remote, mirror=True, project=project)
        run.bring(artifacts.values())
        _check(run)


class Raced(Exception):
    """Another process of the same mirror was quicker, so what is known of the project is old."""


class Mirrored(TypedDict):
    source: str


def _touched(events: Iterable[FeedEvent], kinds: Sequence[str]) -> list[tuple[str, str]]:
    """What the events are about, by all names that they tell."""
    found: dict[tuple[str, str], None] = {}
    for event in events:
        kind, _, name = event["subject"].partition("/")
        if kind in KINDS and kind in kinds:
            found[kind, name] = None
            if old := event["data"].get("old_name"):
                found[kind, old] = None
    return list(found)


def _archive(project: Project, gone: Iterable[tuple[str, str]]) -> None:
    """Archive what the source has no more."""
    for (kind, name), failure in project.archive_all(gone):
        warn(f"{kind}/{name}: archived" if failure is None else f"{kind}/{name}: not archived, {failure}")


def _check(run: Run) -> None:
    """Say what could not be brought. Raises Failure when the source went back behind what is here, Raced when something else wrote here."""
    if any(one.code in RACED for result in run.results.values() for one in result.refused):
        raise Raced
    for result in run.results.values():
        if result.renamed_from:
            warn(f"{result.kind}/{result.renamed_from}: renamed to {result.name}")
        for refusal in result.refused:
            warn(f"{result.kind}/{result.name} {refusal.version or ''}: refused, {refusal.detail}")
    ahead = [
        result.name for result in run.results.values() if any(one.code == "ahead" for one in result.refused)
    ]
    if ahead:
        raise Failure(
            f"the log of the source went back behind what is here: {', '.join(ahead[:SHOWN])}; `skald archive NAME` with the key of "
            "the mirror, and start it again",
            code="log_went_back",
        )
