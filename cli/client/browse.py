"""`skald list`, `show`, `log` and `diff`: look at what a service holds."""

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from cli.client import answers
from cli.client.remote import Remote, RemoteFailure
from cli.client.remote_options import (
    kind as kind_option,
)
from cli.client.remote_options import (
    one_line,
    remote_options,
    service,
    show_diff,
    to_terminal,
    warn,
)
from cli.errors import Failure
from cli.output import minute, printable, say, say_data, show_json
from domain.artifacts.kinds import KINDS
from domain.artifacts.skills import Skill

LOG = 20
TEXTS = {kind.TEXT for kind in KINDS.values()}


@click.command("list")
@click.option("--search", metavar="TEXT", help="Only those with TEXT in name or description, in any case.")
@click.option(
    "--tag", "tags", metavar="TAG", multiple=True, help="Only those with this tag; may be repeated."
)
@click.option("--owner", metavar="MAIL", help="Only those that this user answers for.")
@kind_option
@remote_options
def list_skills(
    search: str | None,
    tags: tuple[str, ...],
    owner: str | None,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """List the skills (or prompts) of the project by name."""
    with service(profile, project) as remote:
        params: dict[str, Any] = {"search": search, "order_by": "name", "tags": ",".join(tags) or None}
        if owner is not None:
            from cli.client.marks import id_of

            params["owner_id"] = id_of(remote, owner)
        if kind != Skill.KIND:
            params["content"] = "preview"
        rows = list(remote.pages(remote.path(f"{KINDS[kind].RESOURCE}/"), params, shape=answers.Row))
    if as_json:
        show_json({"count": len(rows), "results": rows})
        return
    if not rows:
        if tags or owner:
            warn(f"there is no such {kind}")
        else:
            warn(f"no {kind} has {search!r} in it" if search else f"there are no {kind}s yet")
        return
    text = KINDS[kind].TEXT
    head = ["name", "version", "changed", "by", "description" if kind == Skill.KIND else text]
    table = [
        [
            printable(row["name"]),
            str(row["latest_version"]),
            minute(row["updated_at"]),
            who(row.get("created_by")),
            str(row.get("description") or row.get(f"{text}_preview") or ""),
        ]
        for row in rows
    ]
    widths = [max(len(head[column]), *(len(row[column]) for row in table)) for column in range(4)]
    room = _room() - sum(widths) - 8
    for cells in [head, *table]:
        start = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        say(f"{start}  {one_line(cells[4], max(room, 20))}".rstrip())


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="That version instead of the latest one.")
@click.option("--file", "path", metavar="PATH", help="The bytes of one file; SKILL.md is the whole text.")
@kind_option
@remote_options
def show(
    name: str,
    version: int | None,
    path: str | None,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show the skill (or prompt) NAME: what is known of it, then its text.

    With --file, nothing but the bytes of that file, so that they can be sent to another file.
    """
    with service(profile, project) as remote:
        if path is not None:
            if kind != Skill.KIND:
                raise Failure(f"a {kind} has no files; leave --file out", code="usage")
            _show_file(remote, name, path, version, as_json)
            return
        found = remote.get(remote.named(name, kind=kind), {"version": version}, shape=answers.Version)
    if as_json:
        show_json(found)
        return
    lines = [
        ("name", found["name"]),
        ("version", f"{found['version']} of {found['latest_version']}"),
        ("published", f"{minute(found['updated_at'])} by {who(found.get('created_by'))}"),
    ]
    described = {key: found.get(key) for key in ("description", "license", "compatibility")}
    lines += [(key, str(text)) for key, text in described.items() if text]
    if found.get("allowed_tools"):
        lines.append(("allowed tools", " ".join(found["allowed_tools"])))
    if why := found.get("yanked"):
        lines.append(("yanked", printable(why["reason"])))
    if found.get("labels"):
        lines.append(("labels", ", ".join(found["labels"])))
    if found.get("owners"):
        lines.append(("owners", ", ".join(map(who, found["owners"]))))
    if found.get("tags"):
        lines.append(("tags", printable(", ".join(found["tags"]))))
    if found.get("digest"):
        lines.append(("digest", found["digest"]))
    lines += [
        ("file" if not index else "", f"{file['path']}  ({file['size']:,} bytes)")
        for index, file in enumerate(found.get("files") or ())
    ]
    for problem in found.get("spec_problems") or ():
        lines.append(("to improve", f"{problem['path']}: {problem['message']}"))
    for title, text in lines:
        say(f"{title:<14}{text}")
    say("")
    text = _text(found.get(KINDS[kind].TEXT))
    say_data(text, nl=not text.endswith("\n"))


def _show_file(remote: Remote, name: str, path: str, version: int | None, as_json: bool) -> None:
    from urllib.parse import quote

    if path.lower() == "skill.md":
        answer = remote.request("GET", remote.named(name, "skill-md/"), params={"version": version})
        data = answer.content
        shown: Any = {"path": "SKILL.md", "content": data.decode("utf-8", "replace")}
    else:
        import base64

        file = remote.get(
            remote.named(name, f"files/{quote(path)}"), {"version": version}, shape=answers.File
        )
        shown, content = file, file["content"]
        try:
            data = base64.b64decode(content) if file.get("encoding") == "base64" else content.encode()
        except ValueError:
            raise Failure("the service sent base64 that is none", code="bad_answer") from None
    if as_json:
        show_json(shown)
    elif to_terminal():
        try:
            say_data(data.decode(), nl=False)
        except UnicodeDecodeError:
            raise Failure(f"{path} is not text; send it to a file: skald show … > FILE") from None
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@click.command()
@click.argument("name")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=LOG, show_default=True, help="So many of the newest."
)
@kind_option
@remote_options
def log(name: str, limit: int, kind: str, profile: str | None, project: str | None, as_json: bool) -> None:
    """Show what happened to the skill (or prompt) NAME, newest first."""
    with service(profile, project) as remote:
        path = remote.named(name, "history/", kind=kind)
        page = remote.get(path, {"limit": limit}, shape=answers.History)
    if as_json:
        show_json({"count": page["count"], "results": page["results"]})
        return
    for entry in page["results"]:
        before, after = entry["version_before"], entry["version_after"]
        version = f"version {after}" if before != after else f"at version {after}"
        what = entry["type"].removeprefix(f"skald.{kind}.").rsplit(".v", 1)[0].replace("_", " ")
        say(f"{version:<12}  {minute(entry['time'])}  {who(entry['actor']):<20}  {what}")
        for line in _changes(entry["changes"]):
            say(f"{'':<14}{line}")
    if page["count"] > len(page["results"]):
        warn(f"{page['count'] - len(page['results'])} older ones: --limit {page['count']}")


@click.command()
@click.argument("name", metavar="NAME|DIR")
@click.argument("from_version", metavar="[V1", required=False)
@click.argument("to_version", metavar="[V2]]", required=False)
@kind_option
@remote_options
def diff(
    name: str,
    from_version: str | None,
    to_version: str | None,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show what differs between versions of NAME, or between the service and a folder.

    \b
    skald diff NAME           the latest version against the one before
    skald diff NAME 3         the latest version against version 3
    skald diff NAME 3 5       version 5 against version 3
    skald diff ./DIR          the skill in a folder against the latest version; ./DIR 3 against version 3

    An argument with a slash is a folder, not a name. A version may be a label.
    """
    with service(profile, project) as remote:
        if "/" in name or name in (".", ".."):
            if to_version or kind != Skill.KIND:
                raise Failure("a folder is compared with one version of a skill", code="usage")
            _diff_folder(remote, Path(name), from_version, as_json)
            return
        params = {"from": from_version, "to": to_version or ("latest" if from_version else None)}
        path = remote.named(name, "diff/", kind=kind)
        try:
            if as_json:
                show_json(remote.get(path, params, shape=dict[str, Any]))
                return
            answer = remote.request("GET", path, params={**params, "format": "unified"})
        except RemoteFailure as failure:
            if failure.code == "not_found" and Path(name).is_dir():
                raise Failure(
                    f"{failure} For the folder of that name, write ./{name}", code=failure.code
                ) from None
            raise
        show_diff(answer.content.decode("utf-8", "replace").removesuffix("\n").split("\n"))


def _diff_folder(remote: Remote, folder: Path, version: str | None, as_json: bool) -> None:
    from cli.client import skill_diff
    from cli.client.skill_folders import read
    from cli.client.transfer import problem_lines, tree_of

    if not folder.is_dir():
        raise Failure(f"{folder} is no folder", code="usage")
    local = read(folder, folder.resolve())
    if local.document is None:
        lines = problem_lines(local, "error")
        for line in lines:
            warn(line)
        raise Failure(
            "this skill cannot be published", code="invalid_skill", extra={"problems": local.errors}
        )
    if version is not None and not version.isdigit():
        raise Failure(f"{version!r} is no version; write a number", code="usage")
    found = remote.get(remote.named(local.name), {"version": version}, shape=answers.Version)
    before = tree_of(remote, local.name, found["version"])
    after = local.tree(found["version"])
    if as_json:
        changes = skill_diff.summary(before, after)
        show_json(
            {
                "name": local.name,
                "folder": str(folder),
                "version": found["version"],
                "equal": before == after,
                "files": changes,
                "diff": "\n".join(skill_diff.diff(before, after)),
            }
        )
        return
    if before == after:
        warn(f"{folder} is equal to version {found['version']} of {local.name}")
    else:
        show_diff(skill_diff.diff(before, after))


def _changes(changes: answers.Changes) -> list[str]:
    """What an event of the history changed, one thing a line."""
    lines = []
    fields = [field for field in changes["fields"] if field not in TEXTS]
    if (moved := changes.get("renamed")) is not None:
        lines.append(f"renamed {moved['from']} to {moved['to']}")
        fields.remove("name")
    if changes["content"]:
        after = changes["content"]["after"]["size"]
        before = changes["content"]["before"]
        lines.append(f"text: {before['size'] if before else 0:,} -> {after:,} bytes")
    if fields:
        lines.append(f"fields: {', '.join(fields)}")
    files = changes["files"]
    lines += [f"added {file['path']}" for file in files["added"]]
    lines += [f"removed {file['path']}" for file in files["removed"]]
    lines += [f"renamed {file['old_path']} to {file['path']}" for file in files["renamed"]]
    lines += [f"edited {file['path']}" for file in files["edited"]]
    for label in changes["labels"]:
        to = f"to version {label['to']}" if label["to"] else "removed"
        lines.append(f"label {label['name']} {to}")
    if owners := changes.get("owners"):
        lines.append(f"owners: {', '.join(f'user {one}' for one in owners['to']) or 'none'}")
    if tags := changes.get("tags"):
        lines.append(f"tags: {printable(', '.join(tags['to'])) or 'none'}")
    if promotion := changes.get("promotion"):
        what = f"promotion of version {promotion['version']} to {promotion['label']} {promotion['status']}"
        lines.append(f"{what}: {promotion['text']}" if promotion["text"] else what)
    if changes["reverted_to"]:
        lines.append(f"back to version {changes['reverted_to']}")
    if changes["source"]:
        lines.append(
            f"made from {changes['source']['name'] or 'one that is gone'}, version {changes['source']['version']}"
        )
    return lines


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


def who(user: answers.Person | answers.Owner | None) -> str:
    if not user:
        return "-"
    full = f"{user.get('first_name') or ''} {user.get('last_name') or ''}".strip()
    return one_line(full or user.get("email") or "-", 20)


def _room() -> int:
    return shutil.get_terminal_size().columns if to_terminal() else 10_000
