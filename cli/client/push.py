"""`skald push`: publish the skills of folders, as far as they changed."""

import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from cli.client import answers, skill_diff
from cli.client.checkout import Checkout
from cli.client.remote import Remote, RemoteFailure, Unreachable
from cli.client.remote_options import remote_options, service, show_diff, shown, warn
from cli.client.skill_folders import SKILL_MD, LocalSkill, find, read
from cli.client.transfer import concurrently, problem_lines, progress, rows_by_name, tree_of, upload
from cli.errors import Failure
from cli.output import say, show_json

# Results that keep the exit code from being 0.
CLASH = "name_clash"
BAD = ("refused", "conflict", "failed", "not_sent")


class Result(msgspec.Struct, kw_only=True):
    """What became of a folder. ``outcome``: created, published, unchanged, refused (by its problems), conflict,
    failed, not_sent (the run ended before)."""

    name: str
    folder: str
    outcome: str
    version: int | None = None
    digest: str | None = None
    problems: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    error: dict[str, Any] | None = None


class Candidate(msgspec.Struct, kw_only=True):
    """A folder that has to be sent: ``base`` is the version that it is published over, None for a new skill."""

    skill: LocalSkill
    base: int | None
    checkout: Checkout | None
    result: Result


@click.command()
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False)
)
@click.option("--dry-run", is_flag=True, help="Say what would be published, and publish nothing.")
@click.option("--force", is_flag=True, help="Publish over what others published since your last pull.")
@click.option(
    "--diff/--no-diff", "diffs", default=True, help="Show what changed in skills that exist  [default: on]"
)
@click.option(
    "--exclude",
    "exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out folders and files, such as 'drafts' or '*.psd'. May be repeated.",
)
@click.option(
    "--include",
    "include",
    multiple=True,
    metavar="GLOB",
    help="Take files that are left out because their name says that they hold secrets, such as '.env'.",
)
@click.option(
    "--fill-in",
    is_flag=True,
    help="Where SKILL.md has no frontmatter or no name, make it from the folder's name and the first paragraph.",
)
@click.option("--warnings", is_flag=True, help="List what does not keep a skill out, but could be better.")
@remote_options
def push(
    folders: tuple[Path, ...],
    dry_run: bool,
    force: bool,
    diffs: bool,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    fill_in: bool,
    warnings: bool,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Publish the skills in DIR..., as far as they changed: a DIR is a skill (it has a SKILL.md) or holds skills at any depth.

    What the service has already is not sent; so it is safe to repeat, also after an interruption. Each skill is published
    whole or not at all. A skill is known by the name in its SKILL.md, whatever its folder is called. Exit code 1 when a
    skill was not published; the others are all the same.
    """
    found = find(folders, exclude=exclude)
    for link, target in found.outside:
        warn(
            f"{link}: left out, the link leads to {target}, outside of what you named; push that folder instead"
        )
    if not found.folders:
        where = ", ".join(map(str, folders))
        raise Failure(f"there is no SKILL.md in {where} or below", code="no_skills")
    with service(profile, project) as remote:
        run = Push(remote, dry_run=dry_run, force=force, diffs=diffs and not as_json, warnings=warnings)
        run.prepare(found.folders, exclude=exclude, include=include, fill_in=fill_in)
        try:
            run.publish()
        except KeyboardInterrupt:
            run.interrupted = True
        except Failure as failure:
            run.ended_by = failure
        run.report(as_json)
    if run.interrupted:
        sys.exit(130)
    if run.ended_by or any(result.outcome in BAD for result in run.results):
        sys.exit(1)


class Push:
    """One run: ``prepare`` compares, ``publish`` sends, ``report`` tells."""

    def __init__(self, remote: Remote, *, dry_run: bool, force: bool, diffs: bool, warnings: bool) -> None:
        self.remote = remote
        self.dry_run = dry_run
        self.force = force
        self.diffs = diffs
        self.warnings = warnings
        self._told: set[str] = set()
        self.results: list[Result] = []
        self.candidates: list[Candidate] = []
        self.interrupted = False
        self.ended_by: Failure | None = None
        self.skills: list[LocalSkill] = []
        self._checkouts: dict[Path, Checkout] = {}

    def prepare(
        self,
        folders: list[tuple[Path, Path]],
        *,
        exclude: tuple[str, ...],
        include: tuple[str, ...],
        fill_in: bool,
    ) -> None:
        """Read all folders, and find out which of them the service does not have as they are."""
        self.remote.settle_project()
        rows = rows_by_name(self.remote)
        by_name: dict[str, list[Candidate]] = {}
        with progress("reading", len(folders)) as report:
            for index, (folder, root) in enumerate(folders):
                checkout = self._checkout(folder.resolve().parent)
                written = checkout.state.skills.get(folder.resolve().name) if checkout else None
                skill = read(
                    folder,
                    root,
                    exclude=exclude,
                    include=include,
                    keep=written.files if written else (),
                    fill_in=fill_in,
                )
                result = Result(
                    name=skill.name,
                    folder=shown(folder),
                    outcome="refused",
                    problems=[msgspec.to_builtins(problem) for problem in skill.problems],
                    left_out=skill.left_out,
                )
                self.results.append(result)
                self.skills.append(skill)
                report(index + 1)
                if skill.document is not None:
                    candidate = Candidate(skill=skill, base=None, checkout=checkout, result=result)
                    by_name.setdefault(skill.name, []).append(candidate)
        for name, candidates in by_name.items():
            self._compare(candidates, rows.get(name))

    def _checkout(self, folder: Path) -> Checkout | None:
        """What an earlier pull wrote there, when it was from this project."""
        if folder not in self._checkouts:
            self._checkouts[folder] = Checkout(folder, self.remote.target)
        found = self._checkouts[folder]
        return found if found.exists and found.foreign is None else None

    def _compare(self, candidates: list[Candidate], row: answers.Row | None) -> None:
        number = row["latest_version"] if row else 1
        first, *others = candidates
        digest = first.skill.digest(number)
        if any(other.skill.digest(number) != digest for other in others):
            places = ", ".join(candidate.result.folder for candidate in candidates)
            for candidate in candidates:
                candidate.result.error = {
                    "code": CLASH,
                    "detail": f"'{first.skill.name}' is in several folders with different contents: {places}. Name one "
                    "of them, or leave others out by --exclude.",
                }
            return
        for other in others:
            other.result.outcome = "unchanged"
            other.skill.files = {}
        there = row.get("digest") if row else None
        if there == digest:
            for candidate in candidates:
                self._is_there(candidate, number, digest)
            return
        if row and first.checkout and not self.force:
            written = first.checkout.state.skills.get(first.skill.name)
            if written and written.version != number and written.digest != there:
                self._stale(first, written.version, number)
                return
        first.base = number if row else None
        first.result.outcome = "not_sent"
        self.candidates.append(first)

    def _is_there(self, candidate: Candidate, version: int, digest: str) -> None:
        candidate.result.outcome = "unchanged"
        candidate.result.version, candidate.result.digest = version, digest
        self._note(candidate, version, digest)
        candidate.skill.files = {}  # memory: nothing more is done with it

    def _stale(self, candidate: Candidate, pulled: int, latest: int) -> None:
        name, folder = candidate.skill.name, candidate.result.folder
        path = folder if "/" in folder else f"./{folder}"
        candidate.result.outcome = "conflict"
        candidate.result.error = {
            "code": "version_conflict",
            "detail": f"version {latest} of '{name}' was published after you pulled version {pulled}. See it by "
            f"`skald diff {name} {pulled}`, and yours by `skald diff {path} {pulled}`; join them, then push with --force.",
            "current_version": latest,
        }

    def publish(self) -> None:
        """Send what differs. An error of one skill is its result; one of the connection ends the run."""
        if self.diffs:
            self._show_diffs()
        with (
            progress("publishing", len(self.candidates)) as report,
            closing(concurrently(self.remote, self._send, self.candidates)) as done,
        ):
            for count, _ in enumerate(done, start=1):
                report(count)

    def _send(self, candidate: Candidate) -> None:
        skill, result = candidate.skill, candidate.result
        try:
            if candidate.base is None and not self.force and self._is_renamed(candidate):
                return
            answer = upload(
                self.remote,
                skill,
                base_version=candidate.base,
                dry_run=self.dry_run,
            )
        except RemoteFailure as failure:
            if failure.is_of_all:
                raise
            self._refused(candidate, failure)
            return
        except Unreachable as failure:
            if failure.code != "interrupted":
                result.outcome = "failed"
                result.error = {"code": failure.code, "detail": str(failure)}
                raise
            return
        result.outcome = answer["outcome"]
        version, digest = answer.get("version"), answer.get("digest")
        if not self.dry_run and version and digest:
            result.version, result.digest = version, digest
            self._note(candidate, version, digest)
        skill.files = {}  # memory: nothing more is done with it

    def _is_renamed(self, candidate: Candidate) -> bool:
        """Whether a skill that was pulled would be made anew, because it has another name now."""
        name = candidate.skill.name
        if candidate.checkout is None or name not in candidate.checkout.state.skills:
            return False
        now = self.remote.named_now(name)
        if now in (None, name):
            return False
        candidate.result.outcome = "conflict"
        candidate.result.error = {
            "code": "renamed",
            "detail": f"'{name}' is named '{now}' now: rename the folder, and `name` in its SKILL.md, to publish there; with "
            "--force it becomes a new skill, and what asks for the old name finds that.",
            "renamed_to": now,
        }
        return True

    def _refused(self, candidate: Candidate, failure: RemoteFailure) -> None:
        skill, result = candidate.skill, candidate.result
        conflict = failure.code in ("version_conflict", "unique") or (
            failure.code == "not_found" and candidate.base is not None
        )
        if conflict:
            with suppress(RemoteFailure):
                row = self.remote.get(self.remote.named(skill.name), shape=answers.Digested)
                if row["digest"] == skill.digest(row["version"]):
                    self._is_there(candidate, row["version"], row["digest"])
                    return
        result.outcome = "conflict" if conflict else "refused"
        if failure.problems:
            # Paths in the archive begin with the folder that we packed.
            result.problems = [
                {**problem, "path": str(problem.get("path") or "").removeprefix(f"{skill.name}/")}
                for problem in failure.problems
            ]
        detail = str(failure)
        if conflict:
            detail = f"another publish of '{skill.name}' came first ({detail}) Look by `skald log {skill.name}`, and push again."
        result.error = {"code": failure.code, "detail": detail}

    def _note(self, candidate: Candidate, version: int, digest: str) -> None:
        """A folder that was pulled now holds that version."""
        name = candidate.skill.name
        checkout = candidate.checkout
        if checkout and not self.dry_run and candidate.skill.folder.resolve().name == name:
            written = checkout.state.skills.get(name)
            if written and (written.version, written.digest) != (version, digest):
                # By the bytes that lie there: SKILL.md may be written otherwise than the service writes it.
                source = {SKILL_MD: candidate.skill.source}
                with checkout.held():
                    checkout.note(name, {**candidate.skill.files, **source}, version=version, digest=digest)
                    checkout.save()

    # What is printed

    def _show_diffs(self) -> None:
        changed = [candidate for candidate in self.candidates if candidate.base is not None]

        def fetch(candidate: Candidate) -> list[str]:
            assert candidate.base is not None
            try:
                before = tree_of(self.remote, candidate.skill.name, candidate.base)
            except RemoteFailure as failure:
                return [f"# cannot be compared: {failure}"]
            return list(skill_diff.diff(before, candidate.skill.tree(candidate.base)))

        shown: dict[str, list[str]] = {}
        with (
            progress("comparing", len(changed)) as report,
            closing(concurrently(self.remote, fetch, changed)) as done,
        ):
            for candidate, lines in done:
                shown[candidate.skill.name] = lines
                report(len(shown))
        for name, lines in sorted(shown.items()):
            show_diff([f"# {name}", *lines])

    def report(self, as_json: bool) -> None:
        """The results: one line each for what happened, one line for all that did not change."""
        counts: dict[str, int] = {}
        for result in self.results:
            counts[result.outcome] = counts.get(result.outcome, 0) + 1
        if as_json:
            ended = self.ended_by
            error = {"code": ended.code, "detail": str(ended), "attr": ended.attr} if ended else None
            show_json(
                {
                    "dry_run": self.dry_run,
                    "interrupted": self.interrupted,
                    "summary": counts,
                    "skills": self.results,
                    **({"error": error} if error else {}),
                }
            )
            return
        for result, skill in zip(self.results, self.skills, strict=True):
            if result.outcome not in ("unchanged", "refused", "conflict", "failed", "interrupted"):
                would = "would be " if self.dry_run else ""
                version = f" as version {result.version}" if result.version else ""
                say(f"{result.name}: {would}{result.outcome}{version}")
            for path, reason in result.left_out.items():
                if reason != "excluded":
                    warn(
                        f"{skill.folder / path}: left out, it {reason}; --include {path.rpartition('/')[2]} takes it"
                    )
            if result.outcome in ("refused", "conflict", "failed"):
                self._tell_bad(result, skill)
        self._tell_warnings()
        order = ("created", "published", "unchanged", *BAD)
        parts = [f"{counts[outcome]} {outcome}" for outcome in order if outcome in counts]
        head = "dry run, nothing was published: " if self.dry_run else ""
        parts = [text.replace("_", " ") for text in parts]
        hint = "; run it again to go on" if self.interrupted or self.ended_by else ""
        if self.ended_by:
            warn(f"skald: {self.ended_by}")
        say(f"{head}{', '.join(parts)}{hint}", err=bool(counts.keys() & set(BAD)))

    def _tell_bad(self, result: Result, skill: LocalSkill) -> None:
        error = result.error or {}
        if error.get("code") == CLASH:
            if result.name not in self._told:
                self._told.add(result.name)
                warn(
                    f"{result.name}: refused, it is in several folders with different contents; name one of them:"
                )
                for other in self.results:
                    if other.name == result.name:
                        warn(f"  {other.folder}")
            return
        detail = f": {error['detail']}" if error else ""
        warn(f"{result.folder}: {result.outcome}{detail}")
        if skill.errors:
            for line in problem_lines(skill, "error"):
                warn(line)
        elif result.outcome == "refused":
            for problem in result.problems:
                if problem.get("severity") == "error":
                    warn(f"  {shown(skill.folder / problem['path'])}: {problem.get('message')}")

    def _tell_warnings(self) -> None:
        found = [
            skill
            for result, skill in zip(self.results, self.skills, strict=True)
            if any(problem.severity == "warning" for problem in skill.problems)
            and (self.warnings or result.outcome != "unchanged")
        ]
        count = sum(problem.severity == "warning" for skill in found for problem in skill.problems)
        if self.warnings:
            for skill in found:
                warn(f"{shown(skill.folder)}: could be better")
                for line in problem_lines(skill, "warning"):
                    warn(line)
        elif count:
            for skill in found:
                for line in problem_lines(skill, "warning", code="comment"):
                    # What the author may have meant is not in the skill.
                    warn(line)
            are = f"{len(found)} skills" if len(found) > 1 else found[0].name
            hints = "1 hint" if count == 1 else f"{count} hints"
            warn(f"{are} could be better ({hints}): skald push --dry-run --warnings lists them")
