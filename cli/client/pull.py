"""`skald pull`: write skills of the service into a folder."""

import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from cli.client import answers, lock
from cli.client.check import AT_ONCE, ask
from cli.client.checkout import Checkout, Plan
from cli.client.lock import Locked
from cli.client.remote import OF_ALL, Remote, RemoteFailure
from cli.client.remote_options import one_line, remote_options, service, warn
from cli.client.skill_folders import digest_of
from cli.client.transfer import concurrently, progress, rows_by_name, tree_of
from cli.errors import Failure
from cli.output import say, show_json

# Skills after which the memory of the folder is written, so that a kill leaves little to guess.
SAVE_EVERY = 50
BAD = ("changed_here", "failed", "not_found")
HERE = ("written", "updated", "unchanged")  # what is as the service has it
REASON = 200  # characters of why a version is yanked
MAX_FROZEN = 512 * 2**20  # bytes that a frozen pull holds in memory until all of them have come


class Result(msgspec.Struct, kw_only=True):
    """What became of a skill. ``outcome``: written, updated, unchanged, edited (here, and nothing new there), gone (there,
    still here), changed_here (and there: left alone), not_found, failed."""

    name: str
    outcome: str
    version: int | None = None
    digest: str | None = None
    files: Plan | None = None
    error: dict[str, Any] | None = None


@click.command()
@click.argument("names", metavar="[NAME[@LABEL]]...", nargs=-1)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to write: each skill becomes a folder NAME in it  [default: the current folder]",
)
@click.option("--all", "every", is_flag=True, help="Every skill of the project.")
@click.option("--version", type=click.IntRange(min=1), help="That version of the one NAME.")
@click.option("--force", is_flag=True, help="Overwrite what was changed here.")
@click.option("--frozen", is_flag=True, help="Exactly what skald.lock there says, or nothing.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@remote_options
def pull(
    names: tuple[str, ...],
    folder: Path,
    every: bool,
    version: int | None,
    force: bool,
    frozen: bool,
    dry_run: bool,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Write the skills NAME... into a folder, and later what is new of them.

    NAME@LABEL is the version that the label points to, which later pulls without a NAME follow.
    Without a NAME: what an earlier pull wrote there, or every skill of the project when there was none. Files that were
    changed here are not overwritten, and only files that a pull wrote are removed; the file .skald.json in the folder
    remembers them, and skald.lock says which versions there are, with their digests. With --frozen it is those, in all their bytes, or none.
    Exit code 1 when a skill was left alone for that, or could not be read.
    """
    if version is not None and len(names) != 1:
        raise Failure("--version goes with one NAME", code="usage")
    if version is not None and "@" in names[0]:
        raise Failure("name a label or --version, not both", code="usage")
    if names and every:
        raise Failure("name skills, or say --all", code="usage")
    if frozen and (every or version is not None or any("@" in name for name in names)):
        raise Failure(
            "--frozen takes versions from skald.lock: leave --all, --version and labels out", code="usage"
        )
    with service(profile, project) as remote:
        remote.settle_project()
        run = Pull(remote, Checkout(folder, remote.target), force=force, dry_run=dry_run)
        if run.checkout.foreign:
            raise Failure(
                f"{folder} holds skills of {run.checkout.foreign.url}, project {run.checkout.foreign.project}; choose "
                "another --dir, or remove .skald.json there",
                code="other_service",
            )
        try:
            if frozen:
                run.run_frozen(names)
            else:
                run.run(names, every=every, version=version)
        except KeyboardInterrupt:
            run.interrupted = True
        except Failure as failure:
            if not run.results:
                raise
            run.ended_by = failure
        run.report(as_json)
    if run.interrupted:
        sys.exit(130)
    if run.ended_by or any(result.outcome in BAD for result in run.results):
        sys.exit(1)


class PullTarget(msgspec.Struct, frozen=True):
    """A version to be written; ``digest`` None: not known before it is there. ``label``: what it was found by."""

    name: str
    version: int
    digest: str | None
    label: str | None = None


class Pull:
    """One run."""

    def __init__(self, remote: Remote, checkout: Checkout, *, force: bool, dry_run: bool) -> None:
        self.remote = remote
        self.checkout = checkout
        self.force = force
        self.dry_run = dry_run
        self.results: list[Result] = []
        self.interrupted = False
        self.ended_by: Failure | None = None

    def run(self, names: tuple[str, ...], *, every: bool, version: int | None) -> None:
        if self.dry_run:
            self._run(names, every=every, version=version)
            return
        with self.checkout.held():
            locked = lock.read_lock(self.checkout.path) or {}
            try:
                self._run(names, every=every, version=version)
            finally:
                self.checkout.save()
                self._lock(locked)

    def _lock(self, locked: dict[str, Locked]) -> None:
        """Write down what is here now, beside what was."""
        source = lock.source_of(self.remote.target.url, self.remote.target.project)
        new = {}
        for result in self.results:
            if result.outcome not in HERE or result.version is None or result.digest is None:
                continue
            before = locked.get(result.name)
            made = Locked(result.version, result.digest, before.position if before else None, source)
            if made != before:
                new[result.name] = made
        positions = self._positions(list(new.items()))
        for name, made in new.items():
            locked[name] = msgspec.structs.replace(made, position=positions.get(name))
        lock.write_lock(self.checkout.path, locked)

    def _positions(self, new: list[tuple[str, Locked]]) -> dict[str, int | None]:
        """Those of the events that published the versions, by name; nothing of a service that does not tell them."""
        found: dict[str, int | None] = {}
        with suppress(Failure, KeyboardInterrupt):
            for first in range(0, len(new), AT_ONCE):
                part = [
                    {"name": name, "version": one.version, "digest": one.digest}
                    for name, one in new[first : first + AT_ONCE]
                ]
                found |= {pin["name"]: pin.get("position") for pin in ask(self.remote, part)}
        return found

    def run_frozen(self, names: tuple[str, ...]) -> None:
        """What the lock says, whole and in all its bytes, before the first file is written. Raises Failure."""
        wanted = self._locked(names)
        if self.dry_run:
            self._frozen(wanted)
            return
        with self.checkout.held():
            # Another pull may have written both the lock and the folder meanwhile.
            self._frozen(self._locked(names))

    def _locked(self, names: tuple[str, ...]) -> list[PullTarget]:
        """The versions of the lock. Raises Failure."""
        locked = lock.read_lock(self.checkout.path)
        if locked is None:
            raise Failure(
                f"there is no {lock.LOCK_FILE} in {self.checkout.path}; a pull without --frozen writes it",
                code="no_lock",
            )
        if unknown := [name for name in names if name not in locked]:
            raise Failure(f"{lock.LOCK_FILE} has no skill '{unknown[0]}'", code="not_found")
        known = self.checkout.state.skills
        return [
            PullTarget(name, one.version, one.digest, known[name].label if name in known else None)
            for name, one in sorted(locked.items())
            if not names or name in names
        ]

    def _frozen(self, wanted: list[PullTarget]) -> None:
        news = [each for each in wanted if not self._is_there(each)]
        for result in self.results:
            if result.outcome == "edited":
                result.outcome = "changed_here"
        trees: dict[str, dict[str, bytes]] = {}
        size = 0
        with closing(concurrently(self.remote, self._fetch, news)) as done:
            for each, tree in done:
                if isinstance(tree, Failure):
                    self._failed(each.name, tree)
                    continue
                trees[each.name] = tree
                size += sum(map(len, tree.values()))
                if size > MAX_FROZEN:
                    raise Failure(
                        f"the skills of {lock.LOCK_FILE} are more than {MAX_FROZEN:,} bytes; name some of them",
                        code="too_large",
                    )
        self._warn_yanked(wanted)
        ahead = Pull(self.remote, self.checkout, force=self.force, dry_run=True)
        for each in news:
            if each.name in trees:
                ahead._write(each, trees[each.name])
        if any(result.outcome in BAD for result in (*self.results, *ahead.results)) or self.dry_run:
            # Nothing is written: what would have been is not said to be.
            self.results += [one for one in ahead.results if self.dry_run or one.outcome in BAD]
        else:
            try:
                for each in news:
                    self._write(each, trees[each.name])
            finally:
                self.checkout.save()
        self.results.sort(key=lambda result: result.name)

    def _warn_yanked(self, wanted: list[PullTarget]) -> None:
        with suppress(Failure):
            for first in range(0, len(wanted), AT_ONCE):
                part = [
                    {"name": one.name, "version": one.version, "digest": one.digest}
                    for one in wanted[first : first + AT_ONCE]
                ]
                for pin in ask(self.remote, part):
                    if why := pin.get("yanked"):
                        warn(
                            f"{pin['name']}: version {pin['version']} is yanked: {one_line(why['reason'], REASON)}"
                        )

    def _run(self, names: tuple[str, ...], *, every: bool, version: int | None) -> None:
        wanted = self._wanted(names, every=every, version=version)
        news = [each for each in wanted if not self._is_there(each)]
        with (
            progress("pulling", len(news)) as report,
            closing(concurrently(self.remote, self._fetch, news)) as done,
        ):
            for count, (each, tree) in enumerate(done, start=1):
                if isinstance(tree, Failure):
                    self._failed(each.name, tree)
                else:
                    self._write(each, tree)
                if count % SAVE_EVERY == 0 and not self.dry_run:
                    self.checkout.save()
                report(count)
        self.results.sort(key=lambda result: result.name)

    def _wanted(self, names: tuple[str, ...], *, every: bool, version: int | None) -> list[PullTarget]:
        asked = _asked(names)
        if len(asked) == 1:
            # One request, which also tells close names.
            [(name, label)] = asked.items()
            picked = {"version": version, "label": label}
            try:
                found = self.remote.get(self.remote.named(name), picked, shape=answers.Digested)
            except RemoteFailure as failure:
                if failure.status != 404:
                    raise
                self._failed(name, failure)
                return []
            if why := found.get("yanked"):
                warn(f"{name}: version {found['version']} is yanked: {one_line(why['reason'], REASON)}")
            return [PullTarget(found["name"], found["version"], found["digest"], label)]
        known = self.checkout.state.skills
        rows: dict[str | None, dict[str, answers.Row]] = {None: rows_by_name(self.remote)}
        chosen = asked or {
            name: known[name].label if name in known else None
            for name in sorted(rows[None] if every or not known else known)
        }
        wanted = []
        for name, label in chosen.items():
            if label not in rows:
                rows[label] = rows_by_name(self.remote, label)
            if (row := rows[label].get(name)) is not None:
                wanted.append(
                    PullTarget(name, row.get("version", row["latest_version"]), row.get("digest"), label)
                )
            elif label is not None and name in rows[None]:
                self._failed(name, Failure(f"the skill '{name}' has no label '{label}'", code="not_found"))
            elif names:
                self._failed(name, Failure(f"there is no skill '{name}' in the project", code="not_found"))
            else:
                self._gone(name)
        if every:
            for name in sorted(name for name in known if name not in rows[None]):
                self._gone(name)
        return wanted

    def _gone(self, name: str) -> None:
        now = self.remote.named_now(name)
        error = None
        if now not in (None, name):
            detail = f"is named '{now}' now; `skald pull {now}` writes that, and the folder of before stays"
            error = {"code": "renamed", "detail": detail, "renamed_to": now}
        self.results.append(Result(name=name, outcome="gone", error=error))

    def _is_there(self, each: PullTarget) -> bool:
        """Whether that version was written here before, so that nothing has to be fetched."""
        written = self.checkout.state.skills.get(each.name)
        if (
            written is None
            or each.digest is None
            or (written.version, written.digest, written.label) != (each.version, each.digest, each.label)
        ):
            return False
        try:
            changed = self.checkout.changes(each.name)
        except Failure as failure:
            self._failed(each.name, failure)
            return True
        if changed and self.force:
            return False
        outcome = "edited" if changed else "unchanged"
        files = Plan([], [], changed) if changed else None
        self.results.append(
            Result(name=each.name, outcome=outcome, version=each.version, digest=each.digest, files=files)
        )
        return True

    def _fetch(self, each: PullTarget) -> dict[str, bytes] | Failure:
        try:
            tree = tree_of(self.remote, each.name, each.version)
        except RemoteFailure as failure:
            if failure.status in OF_ALL:
                raise
            return failure
        if each.digest is not None and digest_of(tree) != each.digest:
            return Failure(
                f"version {each.version} of '{each.name}' does not have the digest {each.digest}; nothing was written",
                code="bad_digest",
            )
        return tree

    def _write(self, each: PullTarget, tree: dict[str, bytes]) -> None:
        digest = digest_of(tree)
        try:
            plan = self.checkout.plan(each.name, tree)
            existed = self.checkout.folder(each.name).exists()
            if plan.changed and not self.force:
                self.results.append(
                    Result(
                        name=each.name,
                        outcome="changed_here",
                        version=each.version,
                        digest=digest,
                        files=plan,
                    )
                )
                return
            if not self.dry_run:
                self.checkout.carry_out(
                    each.name, plan, tree, version=each.version, digest=digest, label=each.label
                )
        except Failure as failure:
            self._failed(each.name, failure)
            return
        except OSError as error:
            self._failed(
                each.name, Failure(f"{error.filename or each.name} cannot be written: {error.strerror}")
            )
            return
        done = bool(plan.write or plan.remove)
        outcome = ("updated" if existed else "written") if done else "unchanged"
        self.results.append(
            Result(name=each.name, outcome=outcome, version=each.version, digest=digest, files=plan)
        )

    def _failed(self, name: str, failure: Failure) -> None:
        outcome = "not_found" if failure.code in ("not_found", "version_not_found") else "failed"
        self.results.append(
            Result(name=name, outcome=outcome, error={"code": failure.code, "detail": str(failure)})
        )

    def report(self, as_json: bool) -> None:
        counts: dict[str, int] = {}
        for result in self.results:
            counts[result.outcome] = counts.get(result.outcome, 0) + 1
        ended = self.ended_by
        if as_json:
            error = {"code": ended.code, "detail": str(ended), "attr": ended.attr} if ended else None
            show_json(
                {
                    "dry_run": self.dry_run,
                    "interrupted": self.interrupted,
                    "folder": str(self.checkout.path),
                    "summary": counts,
                    "skills": self.results,
                    **({"error": error} if error else {}),
                }
            )
            return
        would = "would be " if self.dry_run else ""
        for result in self.results:
            match result.outcome:
                case "written" | "updated":
                    say(f"{result.name}: {would}{result.outcome}, version {result.version}")
                case "edited":
                    say(f"{result.name}: edited here, nothing new there")
                case "gone":
                    what = (
                        result.error["detail"]
                        if result.error
                        else "no longer in the project; its folder stays"
                    )
                    warn(f"{result.name}: {what}")
                case "changed_here":
                    assert result.files is not None
                    shown = ", ".join(result.files.changed[:5]) + (
                        " …" if len(result.files.changed) > 5 else ""
                    )
                    warn(
                        f"{result.name}: left alone, these would be lost: {shown}. Push them first, or pull "
                        "with --force."
                    )
                case "failed" | "not_found":
                    assert result.error is not None
                    warn(f"{result.name}: {result.error['detail']}")
        order = ("written", "updated", "unchanged", "edited", "gone", *BAD)
        parts = [f"{counts[outcome]} {outcome.replace('_', ' ')}" for outcome in order if outcome in counts]
        head = "dry run, nothing was written: " if self.dry_run else ""
        hint = "; run it again to go on" if self.interrupted or ended else ""
        if ended:
            warn(f"skald: {ended}")
        say(
            f"{head}{', '.join(parts) or 'the project has no skills'}{hint}",
            err=ended is not None or bool(counts.keys() & set(BAD)),
        )


def _asked(names: tuple[str, ...]) -> dict[str, str | None]:
    """The label of each name that was given, in their order; the last one of a name counts. Raises Failure."""
    asked: dict[str, str | None] = {}
    for each in names:
        name, at, label = each.partition("@")
        if not name or (at and not label):
            raise Failure(f"'{each}' is no NAME or NAME@LABEL", code="usage")
        asked[name] = label or None
    return asked
