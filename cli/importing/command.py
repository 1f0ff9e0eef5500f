"""`skald import-from`: one command a source, all into the project of the profile."""

import sys
from base64 import b64encode
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec

from cli.client.profile import CURRENT
from cli.client.remote import Remote
from cli.client.remote_options import remote_options, service, warn
from cli.errors import Failure
from cli.importing.elsewhere import Foreign, SourceService, key_of, target_of
from cli.importing.follow import Follow
from cli.importing.from_git import GitSource
from cli.importing.from_langfuse import LangfuseSource
from cli.importing.from_mlflow import MlflowSource
from cli.importing.from_skald import SkaldSource
from cli.importing.git_repository import MAX_COPY
from cli.importing.run import Run
from cli.importing.source import Source
from domain.artifacts.kinds import KINDS

POSTHOG = "https://us.posthog.com"
LANGFUSE = "https://cloud.langfuse.com"

F = TypeVar("F", bound=Callable[..., Any])


@click.group("import-from")
def import_from() -> None:
    """Bring skills and prompts from elsewhere: all their versions in order, with author and time in each version's description.

    What is there already is not brought again, so it is safe to repeat, also after an interruption; the next run brings what is
    new. Exit code 1 when something of the source is not here.
    """


class Into(msgspec.Struct, frozen=True):
    """The options of every import: where to, and how."""

    dry_run: bool
    force: bool
    profile: str | None
    project: str | None
    as_json: bool


def _into(command: Callable[..., None]) -> Callable[..., None]:
    """The options of the target, and those of every import, as ``into``."""

    @wraps(command)
    def taken(**given: Any) -> None:
        into = Into(**{field: given.pop(field) for field in Into.__struct_fields__})
        command(into=into, **given)

    dry_run = click.option("--dry-run", is_flag=True, help="Say what would be brought, and write nothing.")
    force = click.option(
        "--force", is_flag=True, help="Publish over what others published here since the last import."
    )
    return dry_run(force(remote_options(taken)))


def _of_service(command: F) -> F:
    key = click.option(
        "--source-key-file",
        "key_file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        required=True,
        help="A file that holds the key of the source, and nothing else.",
    )
    kinds = click.option(
        "--kind", "kinds", type=click.Choice(list(KINDS)), multiple=True, help="Only these  [default: all]"
    )
    return key(kinds(command))


@import_from.command()
@click.argument("url")
@click.option("--source-project", metavar="ID", default=CURRENT, help="[default: the project of the key]")
@click.option(
    "--follow",
    is_flag=True,
    help="Keep the project a mirror, which only this changes, until `skald mirror end`. The key of the source needs event:read "
    "too, that of the project project:admin.",
)
@_of_service
@_into
def skald(
    url: str,
    source_project: str,
    follow: bool,
    key_file: Path,
    kinds: tuple[str, ...],
    into: Into,
) -> None:
    """From another Skald at URL, or another project of the same one; the key needs llm_skill:read and llm_prompt:read there."""
    with service(into.profile, into.project) as remote:
        source = _skald_source(url, source_project, key_file, kinds, "Skald")
        if follow:
            if into.dry_run or into.force or into.as_json:
                raise Failure("--follow goes with neither --dry-run nor --force nor --json", code="usage")
            _follow(source, remote)
        _run(source, remote, into)


@import_from.command()
@click.argument("url", default=POSTHOG)
@click.option("--source-project", metavar="ID", required=True, help="The number of the project.")
@_of_service
@_into
def posthog(
    url: str,
    source_project: str,
    key_file: Path,
    kinds: tuple[str, ...],
    into: Into,
) -> None:
    """From PostHog, at URL or at https://us.posthog.com; the key is a personal API key with llm_skill:read and llm_prompt:read."""
    with service(into.profile, into.project) as remote:
        source = _skald_source(url, source_project, key_file, kinds, "PostHog")
        _run(source, remote, into)


def _skald_source(url: str, project: str, key_file: Path, kinds: tuple[str, ...], what: str) -> SkaldSource:
    remote = SourceService(target_of(url, key_of(key_file), project), called=what, notice=warn)
    remote.settle_project()
    title = f"{remote.title}, project {remote.target.project}"
    return SkaldSource(remote, kinds or tuple(KINDS), title, published=what == "PostHog")


@import_from.command()
@click.argument("url")
@click.option(
    "--source-key-file",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file that holds USER:PASSWORD or a token, where the server asks for one.",
)
@_into
def mlflow(
    url: str,
    key_file: Path | None,
    into: Into,
) -> None:
    """From the prompt registry of the MLflow server at URL."""
    with service(into.profile, into.project) as remote:
        source = MlflowSource(_foreign("MLflow", url, key_of(key_file) if key_file else ""))
        _run(source, remote, into)


@import_from.command()
@click.argument("url", default=LANGFUSE)
@click.option(
    "--source-key-file",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="A file that holds pk-lf-…:sk-lf-…, the public and the secret key.",
)
@_into
def langfuse(
    url: str,
    key_file: Path,
    into: Into,
) -> None:
    """From Langfuse, at URL or at https://cloud.langfuse.com."""
    with service(into.profile, into.project) as remote:
        source = LangfuseSource(_foreign("Langfuse", url, key_of(key_file)))
        _run(source, remote, into)


def _foreign(called: str, url: str, key: str) -> Foreign:
    """By user and password where the key has a colon, by a token where it has none, by neither without a key."""
    authorization = f"Basic {b64encode(key.encode()).decode()}" if ":" in key else None
    return Foreign(target_of(url, key), called=called, notice=warn, authorization=authorization)


@import_from.command()
@click.argument("place", metavar="PATH-OR-URL")
@click.option("--branch", metavar="NAME", help="Another branch, tag or commit than HEAD.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out folders and files, such as 'drafts'. May be repeated.",
)
@click.option(
    "--max-size",
    "most",
    metavar="MB",
    type=click.IntRange(1, 10**6),
    default=MAX_COPY,
    show_default=True,
    help="How large the copy of a repository at a URL may become.",
)
@_into
def git(
    place: str,
    branch: str | None,
    exclude: tuple[str, ...],
    most: int,
    into: Into,
) -> None:
    """From a Git repository: a folder with a SKILL.md is a skill, each commit that changes it a version."""
    with service(into.profile, into.project) as remote:
        source = GitSource(place, branch, exclude, most)
        _run(source, remote, into)


def _run(source: Source, remote: Remote, into: Into) -> None:
    try:
        remote.settle_project()
        _check_apart(source, remote)
        run = Run(source, remote, dry_run=into.dry_run, force=into.force)
        try:
            run.bring_all()
        except KeyboardInterrupt:
            run.interrupted = True
        except Failure as failure:
            run.ended_by = failure
        run.report(into.as_json)
    finally:
        source.close()
    if run.interrupted:
        sys.exit(130)
    if run.is_bad:
        sys.exit(1)


def _follow(source: SkaldSource, remote: Remote) -> NoReturn:
    try:
        remote.settle_project()
        _check_apart(source, remote)
        Follow(source, remote).run()
    finally:
        source.close()
    raise AssertionError


def _check_apart(source: Source, remote: Remote) -> None:
    """Raises Failure when a project would be imported into itself."""
    if isinstance(source, SkaldSource):
        there, here = source.remote.target, remote.target
        if (there.url, there.project) == (here.url, here.project):
            raise Failure(
                "this is the source itself; name another project to fill by --project", code="usage"
            )
