"""One run of an import: what the target has not yet is brought, version by version, oldest first."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial

import msgspec

from cli.client.remote import Remote, RemoteFailure
from cli.client.remote_options import warn
from cli.client.transfer import concurrently
from cli.errors import Failure
from cli.importing import naming, notes
from cli.importing.source import Source, SourceArtifact, SourceVersion, TellsAll, Unusable
from cli.importing.target import Here, Place, Project, is_about_the_run
from cli.output import say, show_json

MAX_SHOWN = 20  # reasons for one artifact, on lines; --json has all


class Refusal(msgspec.Struct, frozen=True):
    """Why a version, or a label, or all of it (``version`` None), is not here."""

    code: str
    detail: str
    version: str | None = None


class Result(msgspec.Struct, kw_only=True):
    """What became of an artifact: how many versions were ``brought``, how many were ``there``; ``called`` and ``place`` as in the source."""

    kind: str
    name: str
    called: str
    place: str
    brought: int = 0
    there: int = 0
    marks: int = 0
    archived: bool = False
    renamed_from: str | None = None
    refused: list[Refusal] = []

    @property
    def waits(self) -> bool:
        """Whether it may be taken once others are there."""
        return any(refusal.code in ("invalid_reference", "unique") for refusal in self.refused)


def _result(artifact: SourceArtifact) -> Result:
    return Result(kind=artifact.kind, name=artifact.name, called=artifact.called, place=artifact.place)


def listed(source: Source) -> tuple[list[SourceArtifact], Failure | None]:
    """What a source lists, and why the list is not whole. Raises Failure when there is nothing of it."""
    found: list[SourceArtifact] = []
    try:
        found.extend(source.artifacts())
    except Failure as failure:
        if not found:
            raise
        return found, failure
    return found, None


class Run:
    """``bring_all`` does it, ``report`` says what came of it. ``force``: publish over what others published here since.

    ``mirror``: nothing else is here, so marks become exactly those of the source, and what is another artifact there by now is archived here.
    """

    def __init__(
        self,
        source: Source,
        remote: Remote,
        *,
        dry_run: bool = False,
        force: bool = False,
        mirror: bool = False,
        project: Project | None = None,
    ) -> None:
        self.source = source
        self.project = project or Project(remote)
        self.remote = remote
        self.dry_run = dry_run
        self.force = force
        self.mirror = mirror
        self.results: dict[tuple[str, str], Result] = {}
        self.interrupted = False
        self.ended_by: Failure | None = None

    def bring_all(self) -> None:
        """Everything of the source; where its list breaks off, what was listed until then. Raises Failure."""
        found, ended = listed(self.source)
        self._see_yanks(found)
        self.bring(found)
        if ended is not None:
            raise ended
        if not any(one.broken for one in found):
            self._archive({(one.kind, one.name) for one in found})

    def bring(self, artifacts: Iterable[SourceArtifact]) -> None:
        """What refers to others that are not there yet is tried again after them."""
        todo, patient = self._named(artifacts), True
        for kind in {one.kind for one in todo}:
            self.project.rows(kind)  # before threads ask for them
        while todo:
            brought = self._pass(todo, patient)
            todo = [one for one in todo if self.results[one.key].waits]
            if not brought:
                if not patient:
                    return
                # What it waits for does not come: the versions after it are brought without it.
                patient = False

    def _pass(self, todo: Sequence[SourceArtifact], patient: bool) -> int:
        brought = 0
        with closing(
            concurrently(self.remote, lambda artifact: self._bring(artifact, patient), todo)
        ) as done:
            for artifact, result in done:
                brought += result.brought
                if result.brought:
                    warn(f"{result.kind}/{result.name}: {self._counted(result.brought)}")
                if (before := self.results.get(artifact.key)) is not None:
                    result.there = before.there
                    result.brought += before.brought
                    result.marks += before.marks
                self.results[artifact.key] = result
        return brought

    def _named(self, artifacts: Iterable[SourceArtifact]) -> list[SourceArtifact]:
        """Those that can have a name here, each with a name of its own; of several that would have one, that which has it exactly."""
        found = sorted(artifacts, key=lambda one: one.name != one.called)
        taken: set[tuple[str, str]] = set()
        named: list[SourceArtifact] = []
        for one in found:
            result = _result(one)
            if one.broken is not None:
                result.refused = [Refusal(one.broken.code, str(one.broken))]
            elif not one.name:
                result.refused = [
                    Refusal("invalid_name", f"nothing of '{one.called[:80]}' can be a name here")
                ]
            elif (one.kind, one.name) in taken:
                result.refused = [
                    Refusal("name_clash", f"another {one.kind} of the source is called '{one.name}' here")
                ]
            else:
                if one.name != one.called:
                    warn(f"{one.kind} '{one.called}' is called '{one.name}' here")
                taken.add((one.kind, one.name))
                named.append(one)
                continue
            self.results[one.key] = result
        self._find_renamed(named)
        return named

    def _see_yanks(self, found: Sequence[SourceArtifact]) -> None:
        """Let all versions be looked at of what had one yanked in a source that tells it."""
        if isinstance(self.source, TellsAll) and any(self.project.rows(kind) for kind in self.source.kinds):
            yanked = self.source.yanked_ever()
            for one in found:
                if (one.kind, one.called) in yanked:
                    one.count = 0

    def _archive(self, there: set[tuple[str, str]]) -> None:
        """Archive what was brought and is archived there, as far as it is the same: by its name and the time of its first version."""
        if not isinstance(self.source, TellsAll):
            return
        gone: list[tuple[str, str]] = []
        for kind in self.source.kinds:
            rows = self.project.rows(kind)
            left = {
                name
                for name, here in rows.items()
                if (kind, name) not in there and notes.time_of(here.note) is not None
            }
            for name, time in sorted(self.source.archived(kind)) if left else ():
                if name in left and (kind, name) not in gone and self.project.time(kind, name, 1) == time:
                    gone.append((kind, name))
        done = ((one, None) for one in gone) if self.dry_run else self.project.archive_all(gone)
        for (kind, name), failure in done:
            result = Result(kind=kind, name=name, called=name, place="", archived=failure is None)
            if failure is not None:
                result.refused = [Refusal(failure.code, str(failure))]
            self.results[kind, name] = result

    def _find_renamed(self, named: Sequence[SourceArtifact]) -> None:
        """Earlier names of what a source renamed that tells of it by leading from the old name to the new one."""
        now_called: Callable[[str, str], str | None] | None = getattr(self.source, "now_called", None)
        if now_called is None:
            return
        for kind in {one.kind for one in named}:
            rows = self.project.rows(kind)
            new = {one.called: one for one in named if one.kind == kind and one.name not in rows}
            left = rows.keys() - {one.name for one in named if one.kind == kind}
            for name in sorted(left) if new else ():
                if notes.time_of(rows[name].note) is None:
                    continue
                if (artifact := new.get(now_called(kind, name) or "")) is not None:
                    artifact.earlier = (*artifact.earlier, name)

    # One artifact

    def _bring(self, artifact: SourceArtifact, patient: bool) -> Result:
        result = _result(artifact)
        try:
            self._versions(artifact, result, patient)
        except Unusable as failure:
            result.refused.append(Refusal(failure.code, str(failure)))
        except RemoteFailure as failure:
            if is_about_the_run(failure):
                raise
            result.refused.append(Refusal(failure.code, str(failure)))
        return result

    def _versions(self, artifact: SourceArtifact, result: Result, patient: bool) -> None:
        here = self.project.rows(artifact.kind).get(artifact.name)
        newest = here is not None and notes.time_of(here.note) == artifact.newest
        if here and newest and not self.mirror and here.number == here.top == artifact.count:
            result.there = artifact.count
            self._marks(artifact, None, here, Place(artifact.count - 1, here.number, 0, 0), result)
            return
        versions = artifact.versions()
        found = self._found(artifact, [version.time for version in versions])
        if found is None and here is not None and self.mirror and notes.time_of(here.note) is not None:
            # It was archived there, and its name is that of another one now.
            self.project.archive(artifact.kind, here.name)
            here = None
        if found is None and here is not None:
            raise Unusable(
                f"the project has a {artifact.kind} '{artifact.name}' that is not from this source; rename or archive it first",
                code="name_taken",
            )
        here, place = found or (None, Place(-1, 0, 0, 0))
        if self.mirror and place.beyond:
            raise Unusable(
                f"{self._counted(place.beyond)} of '{here and here.name}' here {'is' if place.beyond == 1 else 'are'} no more in the "
                "source, whose log went back; archive it here, and it is brought anew",
                code="ahead",
            )
        result.there = min(place.index + 1, place.number)
        if result.there <= place.index:
            result.refused.append(
                Refusal(
                    "left_out", f"{place.index + 1 - result.there} versions were refused by an earlier import"
                )
            )
        new = versions[place.index + 1 :]
        if new and place.over and not self.force:
            raise Unusable(
                f"{self._counted(place.over)} of '{artifact.name}' published here since the last import; --force "
                "publishes those of the source over them",
                code="changed_here",
            )
        for index, version in enumerate(new, start=place.index + 1):
            made = self._one(artifact, here, version, result)
            if made is not None:
                here, place = made, Place(index, made.number, 0, 0)
            elif patient and result.waits:
                return
        if here is not None:
            here = self._renamed(artifact, here, artifact.name, result)
            self._marks(artifact, versions, here, place, result)

    def _found(self, artifact: SourceArtifact, times: Sequence[str]) -> tuple[Here, Place] | None:
        """What an earlier import brought of it, by its name or one of before."""
        rows = self.project.rows(artifact.kind)
        for name in (artifact.name, *artifact.earlier):
            if (row := rows.get(name)) and (place := self.project.place(artifact.kind, row, times)):
                return row, place
        return None

    def _one(
        self, artifact: SourceArtifact, here: Here | None, version: SourceVersion, result: Result
    ) -> Here | None:
        """The artifact with one version more; None when that is refused."""
        name = version.name or artifact.name
        try:
            if self.dry_run:
                version.load()
                made = Here(name=name, number=here.number + 1 if here else 1, note="")
            else:
                if here is not None:
                    here = self._renamed(artifact, here, name, result)
                made = self.project.bring(artifact.kind, here, name, version)
        except (Unusable, RemoteFailure) as failure:
            if isinstance(failure, RemoteFailure) and is_about_the_run(failure):
                raise
            result.refused.append(Refusal(failure.code, str(failure), version.number))
            return None
        result.brought += 1
        return made

    def _renamed(self, artifact: SourceArtifact, here: Here, name: str, result: Result) -> Here:
        if here.name == name:
            return here
        result.renamed_from = result.renamed_from or here.name
        if self.dry_run:
            return msgspec.structs.replace(here, name=name)
        return self.project.rename(artifact.kind, here, name)

    def _marks(
        self,
        artifact: SourceArtifact,
        versions: Sequence[SourceVersion] | None,
        here: Here,
        place: Place,
        result: Result,
    ) -> None:
        """Labels as in the source, and its tags beside those that are here. ``versions`` None: all are here under the same numbers."""
        tags = sorted(artifact.tags if self.mirror else {*here.tags, *artifact.tags})
        for label in sorted(here.labels.keys() - artifact.labels.keys()) if self.mirror else ():
            self._mark(result, None, partial(self.project.remove_label, artifact.kind, here, label))
        if tags != sorted(here.tags):
            self._mark(result, None, lambda: self.project.set_tags(artifact.kind, here, tags))
        yanked = {} if versions is None or self.dry_run else self._yanked(artifact, versions, here, place)
        now = self.project.yanked(artifact.kind, here) if yanked or (self.mirror and versions) else set()
        if self.mirror:
            for at in sorted(now - yanked.keys()):
                self._mark(result, None, partial(self.project.set_yanked, artifact.kind, here, at, ""))
        for label, number in sorted(artifact.labels.items()):
            if naming.is_label(label):
                self._label(artifact, versions, here, place, label, number, result)
            elif label != "latest":
                result.refused.append(Refusal("invalid_label", f"'{label[:80]}' can be no label here"))
        # After the labels, which cannot be pointed to what is yanked.
        for at in sorted(yanked.keys() - now):
            self._mark(result, None, partial(self.project.set_yanked, artifact.kind, here, at, yanked[at]))

    def _yanked(
        self, artifact: SourceArtifact, versions: Sequence[SourceVersion], here: Here, place: Place
    ) -> dict[int, str]:
        """Why versions here should not be used any more, by their numbers."""
        times = [version.time for version in versions]
        found: dict[int, str] = {}
        for index, version in enumerate(versions):
            if version.yanked:
                at = self.project.number_of(artifact.kind, here, place, times, index)
                found |= {at: version.yanked} if at is not None else {}
        return found

    def _label(
        self,
        artifact: SourceArtifact,
        versions: Sequence[SourceVersion] | None,
        here: Here,
        place: Place,
        label: str,
        number: str,
        result: Result,
    ) -> None:
        at: int | None
        if versions is None:
            at = int(number)
        else:
            index = next((at for at, version in enumerate(versions) if version.number == number), None)
            if self.dry_run:
                result.marks += index is not None and here.labels.get(label) != index + 1
                return
            times = [version.time for version in versions]
            at = None if index is None else self.project.number_of(artifact.kind, here, place, times, index)
        if at is None:
            detail = f"the label '{label}' is on a version that is not here"
            result.refused.append(Refusal("no_version", detail, number))
        elif here.labels.get(label) != at:
            self._mark(result, number, lambda: self.project.set_label(artifact.kind, here, label, at))

    def _mark(self, result: Result, version: str | None, call: Callable[[], None]) -> None:
        try:
            if not self.dry_run:
                call()
        except RemoteFailure as failure:
            if is_about_the_run(failure):
                raise
            result.refused.append(Refusal(failure.code, str(failure), version))
        else:
            result.marks += 1

    # What is printed

    def _counted(self, versions: int) -> str:
        return f"{versions} version{'' if versions == 1 else 's'}"

    @property
    def is_bad(self) -> bool:
        return self.ended_by is not None or any(result.refused for result in self.results.values())

    def report(self, as_json: bool) -> None:
        """The sum of it, and each reason why something is not here."""
        results = sorted(self.results.values(), key=lambda one: (one.kind, one.name, one.called))
        summary = {
            "brought": sum(result.brought for result in results),
            "there": sum(result.there for result in results),
            "marks": sum(result.marks for result in results),
            "archived": sum(result.archived for result in results),
            "refused": sum(len(result.refused) for result in results),
        }
        ended = self.ended_by
        if as_json:
            error = {"code": ended.code, "detail": str(ended), "attr": ended.attr} if ended else None
            show_json(
                {
                    "source": self.source.title,
                    "dry_run": self.dry_run,
                    "interrupted": self.interrupted,
                    "summary": summary,
                    "artifacts": results,
                    **({"error": error} if error else {}),
                }
            )
            return
        for result in results:
            if result.renamed_from:
                say(f"{result.kind}/{result.renamed_from}: renamed to {result.name}")
            if result.archived:
                say(
                    f"{result.kind}/{result.name}: {'would be ' if self.dry_run else ''}archived, as in the source"
                )
            for refusal in result.refused[:MAX_SHOWN]:
                what = f" version {refusal.version}" if refusal.version else ""
                warn(f"{result.kind}/{result.place or result.called[:80]}{what}: refused, {refusal.detail}")
            if len(result.refused) > MAX_SHOWN:
                warn(
                    f"{result.kind}/{result.place or result.called[:80]}: {len(result.refused) - MAX_SHOWN} more; --json lists all"
                )
        if ended:
            warn(f"skald: {ended}")
        head = "dry run, nothing was written: " if self.dry_run else ""
        parts = [f"{self._counted(summary['brought'])} {'would be brought' if self.dry_run else 'brought'}"]
        parts.append(f"{summary['there']} already there")
        if summary["marks"]:
            parts.append(f"{summary['marks']} labels, tags and yanks set")
        if summary["archived"]:
            parts.append(f"{summary['archived']} archived")
        if summary["refused"]:
            parts.append(f"{summary['refused']} refused")
        hint = "; run it again to go on" if self.interrupted or ended else ""
        say(f"{head}{', '.join(parts)}{hint}", err=self.is_bad)
