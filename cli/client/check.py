"""`skald check`: what has become of the versions that a lock file holds on to."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from cli.client import answers
from cli.client.lock import LOCK_FILE, Pinned, npm_hash, read_any, source_of
from cli.client.remote import Remote, RemoteFailure, quote_part
from cli.client.remote_options import one_line, remote_options, service, warn
from cli.client.transfer import concurrently, tree_of
from cli.output import say, show_json
from domain.artifacts.skills import Skill

AT_ONCE = 100  # versions of one request
LOOKED_AT = 10  # versions of a skill that are fetched to find the one of a hash
SHOWN = 5  # other projects of a lock
WIDTH = 200  # characters of a reason


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@remote_options
def check(file: Path | None, profile: str | None, project: str | None, as_json: bool) -> None:
    """Say what has become of the skills that FILE holds on to: skald.lock, skills-lock.json or apm.lock.yaml.

    One line `NAME STATE...` for each of which there is something to say: newer, yanked, drifted (that version has another
    content than when it was locked), renamed, missing. Exit code 1 when there is any. Without FILE it is skald.lock in the
    current folder; of a folder, the one in it.
    """
    file = file or Path(LOCK_FILE)
    if file.is_dir():
        file = file / LOCK_FILE
    with service(profile, project) as remote:
        remote.settle_project()
        pinned, elsewhere = read_any(file, urlsplit(remote.target.url).netloc)
        found = checked(remote, pinned)
    told = [one for one in found if one["states"]]
    if as_json:
        show_json({"file": str(file), "checked": len(found), "results": found})
    else:
        for one in told:
            say(" ".join([one["name"], *one["states"], _details(one)]).rstrip())
        own = source_of(remote.target.url, remote.target.project)
        for source in sorted({one.source for one in pinned if one.source not in (None, own)})[:SHOWN]:
            count = sum(one.source == source for one in pinned)
            warn(f"{count} of {file} {'was' if count == 1 else 'were'} pulled from {source}, not from {own}")
        if elsewhere:
            warn(f"{elsewhere} of {file} are not of {remote.target.url}")
    if told:
        sys.exit(1)


def checked(remote: Remote, pinned: Sequence[Pinned]) -> list[answers.Pin]:
    """What the service says of each, in their order."""
    known: dict[str, answers.Pin] = {}
    by_hash = [one for one in pinned if one.version is None]
    numbers: dict[str, int | None] = {}
    for one, number in concurrently(remote, lambda one: _number(remote, one), by_hash):
        numbers[one.name] = number
        if number is None:
            known[one.name] = {"name": one.name, "version": None, "states": ["drifted"]}
        elif number == 0:
            known[one.name] = {"name": one.name, "version": None, "states": ["missing"]}
    asked = [
        {"name": one.name, "version": one.version or numbers[one.name], "digest": one.digest}
        for one in pinned
        if one.name not in known
    ]
    for first in range(0, len(asked), AT_ONCE):
        for pin in ask(remote, asked[first : first + AT_ONCE]):
            known[pin["name"]] = pin
    return [known[one.name] for one in pinned]


def ask(remote: Remote, pins: Sequence[dict[str, Any]]) -> list[answers.Pin]:
    """One request. Raises RemoteFailure."""
    path = remote.path(f"{Skill.RESOURCE}/check/")
    answer: answers.Pins = remote.send("POST", path, {"pins": list(pins)}, shape=answers.Pins)
    if [one["name"] for one in answer["results"]] != [one["name"] for one in pins]:
        raise RemoteFailure(
            f"{remote.target.url} answers for other skills than it was asked for",
            status=200,
            code="bad_answer",
            attr=None,
            extra={},
        )
    return answer["results"]


def _number(remote: Remote, one: Pinned) -> int | None:
    """Which of the newest versions has this hash: 0 when there is no such skill, None when none of them has it."""
    path = remote.path(f"{Skill.RESOURCE}/resolve/name/{quote_part(one.name)}/")
    try:
        resolved = remote.get(path, {"limit": LOOKED_AT}, shape=answers.Versions)
        for line in resolved["versions"][:LOOKED_AT]:
            if npm_hash(tree_of(remote, one.name, line["version"])) == one.hash:
                return line["version"]
    except RemoteFailure as failure:
        if failure.status != 404:
            raise
        return 0
    return None


def _details(one: answers.Pin) -> str:
    parts = []
    latest, why = one.get("latest_version"), one.get("yanked")
    if one["version"] and latest:
        parts.append(f"version {one['version']}, the latest is {latest}")
    if why:
        parts.append(f"yanked: {one_line(why['reason'], WIDTH)}")
    if now := one.get("renamed_to"):
        parts.append(f"is named {one_line(now, WIDTH)} now")
    return f"({'; '.join(parts)})" if parts else ""
