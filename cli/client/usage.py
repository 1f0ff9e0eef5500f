"""`skald usage`: which versions are read, by whom and how often."""

from typing import Any, NotRequired, TypedDict

import click

from cli.client.answers import Number, Size
from cli.client.remote import Remote
from cli.client.remote_options import remote_options, service, warn
from cli.output import minute, say, show_json, show_table
from domain.artifacts.kinds import KINDS
from domain.artifacts.skills import Skill

PUBLIC = "the public origin"


class UsageRow(TypedDict):
    """What was counted by: one of version, key or share, door, hour and day."""

    reads: Size
    revalidated: Size
    last_at: str
    version: NotRequired[int]
    key: NotRequired[str | None]
    share: NotRequired[str | None]
    door: NotRequired[str]
    hour: NotRequired[str]
    day: NotRequired[str]


class Usage(TypedDict):
    total: Size
    rows: list[UsageRow]


class Used(TypedDict):
    kind: str
    name: str
    reads: Size
    revalidated: Size
    last_read_at: str | None
    readers: Size


class Behind(TypedDict):
    kind: str
    name: str
    key_id: str
    version: Number
    latest_version: Number
    label: str | None


class Reader(TypedDict):
    kind: str
    name: str
    key_id: str | None
    share_id: str | None
    version: Number
    reads: Size
    revalidated: Size


@click.command()
@click.argument("name", required=False)
@click.option(
    "--kind", type=click.Choice(list(KINDS)), help="What is meant  [default: skill; without NAME: both]"
)
@click.option(
    "--by",
    type=click.Choice(["version", "key", "door", "hour", "day"]),
    help="With NAME: what a line is of  [default: version]",
)
@click.option("--from", "since", metavar="TIME", help="The first hour, or a date  [default: 30 days ago]")
@click.option("--to", "until", metavar="TIME", help="The last hour, or a date  [default: now]")
@click.option(
    "--show", type=click.Choice(["unused", "behind"]), help="What is not read, or keys behind the latest."
)
@click.option("--at", metavar="TIME", help="Who read what in that hour.")
@remote_options
def usage(
    name: str | None,
    kind: str | None,
    by: str | None,
    since: str | None,
    until: str | None,
    show: str | None,
    at: str | None,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show how often the skill (or prompt) NAME was read; without NAME, what is read most.

    \b
    skald usage                         what is read, by how many keys and shares
    skald usage --show unused           what may be archived
    skald usage --show behind           keys that read an earlier version
    skald usage NAME --by key           who reads it
    skald usage NAME --at 2026-03-03T09:00:00Z
    """
    if by is not None and name is None:
        raise click.UsageError("--by takes a NAME")
    if show is not None and name is not None:
        raise click.UsageError("--show is about the whole project; leave NAME out")
    if at is not None and (by, since, until, show) != (None,) * 4:
        raise click.UsageError("--at takes no other option than --kind")
    period = {"from": since, "to": until}
    with service(profile, project) as remote:
        if at is not None:
            _show_readers(remote, name, kind, at, as_json)
        elif name is not None:
            path = remote.named(name, "usage/", kind=kind or Skill.KIND)
            by = by or "version"
            _show_one(remote.get(path, {**period, "by": by}, shape=Usage), by, as_json)
        elif show == "behind":
            _show_behind(remote, {**period, "kind": kind, "show": show}, as_json)
        else:
            _show_used(remote, {**period, "kind": kind, "show": show}, as_json)


def _show_one(found: Usage, by: str, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    rows = found["rows"]
    show_table(
        [by, "reads", "revalidated", "last"],
        [
            [_what(row, by), str(row["reads"]), str(row["revalidated"]), minute(row["last_at"])]
            for row in rows
        ],
    )
    say(f"{found['total']} reads")


def _what(row: UsageRow, by: str) -> str:
    if by == "key":
        return _reader(row.get("key"), row.get("share"))
    found: Any = row.get(by)
    return minute(found) if by == "hour" else str(found)


def _reader(key: str | None, share: str | None) -> str:
    return f"key {key}" if key else f"share {share}" if share else PUBLIC


def _show_used(remote: Remote, query: dict[str, str | None], as_json: bool) -> None:
    rows = list(remote.pages(remote.path("usage/"), query, shape=Used))
    if as_json:
        show_json({"count": len(rows), "results": rows})
        return
    if not rows:
        warn("nothing is unused" if query["show"] else "nothing was read")
        return
    show_table(
        ["kind", "name", "reads", "revalidated", "readers", "last"],
        [
            [
                row["kind"],
                row["name"],
                str(row["reads"]),
                str(row["revalidated"]),
                str(row["readers"]),
                minute(row["last_read_at"]) if row["last_read_at"] else "never",
            ]
            for row in rows
        ],
    )


def _show_behind(remote: Remote, query: dict[str, str | None], as_json: bool) -> None:
    rows = list(remote.pages(remote.path("usage/"), query, shape=Behind))
    if as_json:
        show_json({"count": len(rows), "results": rows})
        return
    if not rows:
        warn("no key is behind")
        return
    show_table(
        ["kind", "name", "key", "version", "latest", "label"],
        [
            [
                row["kind"],
                row["name"],
                row["key_id"],
                str(row["version"]),
                str(row["latest_version"]),
                row["label"] or "",
            ]
            for row in rows
        ],
    )


def _show_readers(remote: Remote, name: str | None, kind: str | None, at: str, as_json: bool) -> None:
    query: dict[str, str | None] = {"at": at}
    if name is None:
        path, query["kind"] = remote.path("usage/readers/"), kind
    else:
        path = remote.named(name, "usage/readers/", kind=kind or Skill.KIND)
    rows = list(remote.pages(path, query, shape=Reader))
    if as_json:
        show_json({"count": len(rows), "results": rows})
        return
    if not rows:
        warn("nothing was read in that hour")
        return
    show_table(
        ["kind", "name", "version", "reads", "revalidated", "by"],
        [
            [
                row["kind"],
                row["name"],
                str(row["version"]),
                str(row["reads"]),
                str(row["revalidated"]),
                _reader(row["key_id"], row["share_id"]),
            ]
            for row in rows
        ],
    )
