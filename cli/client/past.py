"""`skald audit`, `blame`, `revert`, `rename`, `archive`, `unarchive` and `label`: who did what, and the way back."""

from typing import Any

import click

from cli.client import answers
from cli.client.browse import who
from cli.client.remote import Remote, RemoteFailure, quote_part
from cli.client.remote_options import kind as kind_option
from cli.client.remote_options import one_line, remote_options, service, warn
from cli.errors import Failure
from cli.output import minute, printable, say, show_json, show_table
from domain.artifacts.kinds import KINDS

PAGE = 1000  # entries; the most that the audit gives at once
MAX_ENTRIES = 1_000_000  # of one call; all of a log is a file of the API (format=csv, docs/history.md)
WHO_WIDTH = 16


@click.command()
@click.option("--subject", metavar="KIND/NAME", help="Such as skill/pdf-forms, prompt/Helper or key/ID.")
@click.option("--actor", metavar="USER", help="Only what that user did: mail address, name or number.")
@click.option("--type", "types", metavar="TYPE[,TYPE]", help="Such as skald.skill.published.v1.")
@click.option("--from", "since", metavar="TIME", help="Such as 2026-03-03T09:30:00Z; that instant and later.")
@click.option("--to", "until", metavar="TIME", help="Up to that instant.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ENTRIES),
    default=100,
    show_default=True,
    help="So many, oldest first.",
)
@remote_options
def audit(
    subject: str | None,
    actor: str | None,
    types: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show who did what in the project, in the order of the log; needs a key with event:read."""
    params = {"subject": subject, "actor": actor, "type": types, "from": since, "to": until}
    with service(profile, project) as remote:
        rows = _audited(remote, params, limit)
    if as_json:
        show_json({"results": rows})
        return
    show_table(
        ["position", "time", "user", "what", "subject"],
        [
            [
                str(row["position"]),
                minute(row["time"]),
                # Without a user it was done by a command on the host.
                str(row["actor"] or "(host)"),
                row["type"].removeprefix("skald.").rsplit(".v", 1)[0],
                row["subject"],
            ]
            for row in rows
        ],
    )
    if len(rows) == limit:
        warn(f"these are the first {limit}: --limit shows more")


def _audited(remote: Remote, params: dict[str, Any], limit: int) -> list[answers.AuditEntry]:
    rows: list[answers.AuditEntry] = []
    after = 0
    while len(rows) < limit:
        wanted = {**params, "after": after, "limit": min(PAGE, limit - len(rows))}
        page = remote.get(remote.path("audit/"), wanted, shape=answers.Audit)
        rows += page["results"]
        if not page["results"]:
            break
        if page["position"] <= after:
            raise Failure(f"{remote.target.url} leads back from position {after}", code="bad_answer")
        after = page["position"]
    return rows[:limit]


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="That version instead of the latest one.")
@click.option("--file", "path", metavar="PATH", help="A file of the skill instead of its text.")
@kind_option
@remote_options
def blame(
    name: str,
    version: int | None,
    path: str | None,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show by whom and in which version each line of the skill (or prompt) NAME was written."""
    with service(profile, project) as remote:
        params = {"version": version, "path": path}
        found = remote.get(remote.named(name, "blame/", kind=kind), params, shape=answers.Blame)
    if as_json:
        show_json(found)
        return
    for line in found["lines"]:
        author = one_line(who(line["created_by"]), WHO_WIDTH)
        head = f"{line['version']:>4}  {minute(line['created_at'])}  {author:<{WHO_WIDTH}}"
        say(f"{head}  {printable(line['text'], lines=True)}".replace("\t", "    "))
    if found["truncated"]:
        warn("the text is too large to tell its lines apart, or is none")
    elif not found["complete"]:
        warn("older lines are given to the oldest version that was looked at")


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@kind_option
@remote_options
def revert(
    name: str, version: int, kind: str, profile: str | None, project: str | None, as_json: bool
) -> None:
    """Publish a new version of NAME that is equal to the earlier VERSION."""
    with service(profile, project) as remote:
        latest = remote.get(remote.named(name, kind=kind), shape=answers.Version)["latest_version"]
        body = {"version": version, "base_version": latest}
        made = remote.send("POST", remote.named(name, "revert/", kind=kind), body, shape=answers.Version)
    _done(made, f"{made['name']}: version {made['version']} is equal to version {version}", as_json)


@click.command()
@click.argument("name")
@click.argument("new_name")
@kind_option
@remote_options
def rename(
    name: str, new_name: str, kind: str, profile: str | None, project: str | None, as_json: bool
) -> None:
    """Give NAME another name, with all its versions; reads of the old name are led to the new one."""
    with service(profile, project) as remote:
        path = remote.named(name, "rename/", kind=kind)
        made = remote.send("POST", path, {"new_name": new_name}, shape=answers.Version)
    _done(made, f"{name}: is named {made['name']} now", as_json)


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Why; at most 400 characters. Reads of that version show it.")
@kind_option
@remote_options
def yank(
    name: str,
    version: int,
    reason: str,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Say that VERSION of NAME should not be used any more.

    It is still read by its number; latest, lists, labels and installers pass over it.
    """
    with service(profile, project) as remote:
        path = remote.named(name, f"versions/{version}/yank/", kind=kind)
        made = remote.send("POST", path, {"reason": reason}, shape=answers.Version)
    latest = made["latest_version"]
    _done(made, f"{name}: version {version} is yanked, the latest is {latest}", as_json)


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@kind_option
@remote_options
def unyank(
    name: str, version: int, kind: str, profile: str | None, project: str | None, as_json: bool
) -> None:
    """Take the yank of VERSION of NAME back."""
    with service(profile, project) as remote:
        path = remote.named(name, f"versions/{version}/unyank/", kind=kind)
        made = remote.send("POST", path, shape=answers.Version)
    _done(made, f"{name}: version {version} is not yanked, the latest is {made['latest_version']}", as_json)


@click.command()
@click.argument("name")
@kind_option
@remote_options
def archive(name: str, kind: str, profile: str | None, project: str | None, as_json: bool) -> None:
    """Archive NAME: it is in no list any more, and its name is free. `skald unarchive` brings it back."""
    with service(profile, project) as remote:
        remote.send("POST", remote.named(name, "archive/", kind=kind))
    _done({"name": name, "archived": True}, f"{name}: archived", as_json)


@click.command()
@click.argument("name", required=False)
@click.option("--id", "archived_id", metavar="ID", help="An earlier one of that name, as the list shows it.")
@kind_option
@remote_options
def unarchive(
    name: str | None,
    archived_id: str | None,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Bring the archived skill (or prompt) NAME back with all its versions; without NAME, list what is archived."""
    with service(profile, project) as remote:
        if name is None:
            path = remote.path(f"{KINDS[kind].RESOURCE}/archived/")
            _show_archived(list(remote.pages(path, shape=answers.Archived)), as_json)
            return
        body = {"id": archived_id} if archived_id else {}
        made = remote.send("POST", remote.named(name, "restore/", kind=kind), body, shape=answers.Version)
    _done(made, f"{made['name']}: back, with version {made['version']} as the latest", as_json)


def _show_archived(rows: list[answers.Archived], as_json: bool) -> None:
    if as_json:
        show_json({"count": len(rows), "results": rows})
        return
    show_table(
        ["name", "version", "archived", "by", "id"],
        [
            [
                row["name"],
                str(row["latest_version"]),
                minute(row["archived_at"]),
                who(row["archived_by"]),
                row["id"],
            ]
            for row in rows
        ],
    )


@click.command()
@click.argument("name")
@click.argument("label", required=False)
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--remove", is_flag=True, help="Remove LABEL.")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    help="What is meant  [default: whichever of them is called NAME]",
)
@remote_options
def label(
    name: str,
    label: str | None,
    version: int | None,
    remove: bool,
    kind: str | None,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show the labels of the skill (or prompt) NAME, or point LABEL to VERSION.

    \b
    skald label NAME                    its labels
    skald label NAME production 3       production is version 3
    skald label NAME production --remove
    """
    if (label is None) if remove else (label is not None and version is None):
        raise click.UsageError("write LABEL and VERSION, or LABEL and --remove")
    if remove and version is not None:
        raise click.UsageError("--remove takes no VERSION")
    with service(profile, project) as remote:
        if label is None:
            _show_labels(_resolved(remote, name, kind)[1]["labels"], as_json)
            return
        kind = kind or _resolved(remote, name, None)[0]
        path = remote.named(name, f"labels/{quote_part(label)}/", kind=kind)
        if remove:
            remote.send("DELETE", path)
            _done({"name": label, "removed": True}, f"{name}: {label} removed", as_json)
        else:
            made = remote.send("PUT", path, {"version": version}, shape=answers.Label)
            _done(made, f"{name}: {made['name']} is version {made['version']}", as_json)


def _resolved(remote: Remote, name: str, kind: str | None) -> tuple[str, answers.Resolved]:
    """What is called NAME, and its kind. Raises Failure when there is none, or one of each kind and ``kind`` names neither."""
    found: dict[str, answers.Resolved] = {}
    refused: list[RemoteFailure] = []
    for each in KINDS if kind is None else (kind,):
        path = remote.path(f"{KINDS[each].RESOURCE}/resolve/name/{quote_part(name)}/")
        try:
            found[each] = remote.get(path, {"limit": 1}, shape=answers.Resolved)
        except RemoteFailure as failure:
            # A key may be for one kind alone.
            if failure.status not in (403, 404):
                raise
            refused.append(failure)
    if not found:
        raise min(refused, key=lambda failure: failure.status != 404)
    if len(found) > 1:
        raise Failure(f"{' and '.join(found)} are both called {name}; say --kind", code="usage")
    return found.popitem()


def _show_labels(rows: list[answers.Label], as_json: bool) -> None:
    if as_json:
        show_json({"labels": rows})
        return
    show_table(
        ["label", "version", "set", "by"],
        [
            [row["name"], str(row["version"]), minute(row["created_at"]), who(row["created_by"])]
            for row in rows
        ],
    )


def _done(answer: object, sentence: str, as_json: bool) -> None:
    if as_json:
        show_json(answer)
    else:
        say(sentence)
