"""`skald label-policy`, `promote`, `promotions`, `approve`, `reject`, `withdraw`: which labels are protected, and how they move."""

import click

from cli.client import answers
from cli.client.browse import who
from cli.client.remote import quote_part
from cli.client.remote_options import kind as kind_option
from cli.client.remote_options import one_line, remote_options, service, warn
from cli.output import minute, say, show_json, show_table
from domain.artifacts.policies import MAX_APPROVALS

NOTE_WIDTH = 40
STATUSES = ("open", "promoted", "rejected", "withdrawn", "outdated")


@click.command("label-policy")
@click.argument("label", required=False)
@click.option("--protect/--open", default=None, help="Whether moving LABEL takes a key that may promote.")
@click.option(
    "--approvals",
    type=click.IntRange(0, MAX_APPROVALS),
    help="How many others approve a promotion before LABEL moves; from 1 on it is protected.",
)
@click.option("--remove", is_flag=True, help="Remove the policy of LABEL.")
@remote_options
def label_policy(
    label: str | None,
    protect: bool | None,
    approvals: int | None,
    remove: bool,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show the label policies of the project, or set that of LABEL; needs a key with project:admin.

    \b
    skald label-policy                           all of them
    skald label-policy production --protect      moved by keys with llm_skill:promote or llm_prompt:promote
    skald label-policy production --approvals 1  moved by promotions that another person approves
    skald label-policy production --remove
    """
    changes = protect is not None or approvals is not None
    if (label is None) == (changes or remove) or (changes and remove):
        raise click.UsageError("write LABEL with --protect, --open, --approvals N or --remove, or nothing")
    with service(profile, project) as remote:
        if label is None:
            found = remote.get(remote.path("label-policies/"), shape=answers.Policies)
            _show(found, as_json)
            return
        path = remote.path(f"label-policies/{quote_part(label)}/")
        if remove:
            remote.send("DELETE", path)
            answer: object = {"label": label, "removed": True}
            sentence = f"{label}: no policy"
        else:
            body = {"protected": bool(protect), "approvals": approvals or 0}
            answer = made = remote.send("PUT", path, body, shape=answers.Policy)
            sentence = f"{made['label']}: {_how(made)}"
    if as_json:
        show_json(answer)
    else:
        say(sentence)


def _show(found: answers.Policies, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    show_table(
        ["label", "how it moves", "changed", "by"],
        [
            [row["label"], _how(row), minute(row["updated_at"]), who(row["updated_by"])]
            for row in found["results"]
        ],
    )


def _how(policy: answers.Policy) -> str:
    approvals = policy["approvals"]
    if approvals:
        return f"by a promotion with {approvals} approval{'s' if approvals > 1 else ''}"
    return "by keys that may promote" if policy["protected"] else "by keys that may write"


@click.command()
@click.argument("name")
@click.argument("label")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--note", default="", help="What for; at most 400 characters.")
@kind_option
@remote_options
def promote(
    name: str,
    label: str,
    version: int,
    note: str,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Request that LABEL of the skill (or prompt) NAME moves to VERSION; others approve it by its id."""
    with service(profile, project) as remote:
        body = {"label": label, "version": version, "note": note}
        path = remote.named(name, "promotions/", kind=kind)
        made = remote.send("POST", path, body, shape=answers.Promotion)
    if as_json:
        show_json(made)
        return
    say(made["id"])
    warn(f"{_sentence(made)}; `skald approve ID` by another person")


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only those that are so.")
@click.option("--name", help="Only those of that skill or prompt.")
@click.option("--label", help="Only those of that label.")
@remote_options
def promotions(
    status: str | None,
    name: str | None,
    label: str | None,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """List promotions, newest first."""
    params = {"status": status, "name": name, "label": label}
    with service(profile, project) as remote:
        rows = list(remote.pages(remote.path("promotions/"), params, shape=answers.Promotion))
    if as_json:
        show_json({"count": len(rows), "results": rows})
        return
    show_table(
        ["id", "what", "label", "version", "status", "approvals", "requested", "by", "note"],
        [
            [
                row["id"],
                f"{row['kind']}/{row['name']}",
                row["label"],
                f"{row['from_version'] or '-'} → {row['version']}",
                row["status"],
                f"{len(row['approvals'])} of {row['required']}",
                minute(row["requested_at"]),
                who(row["requested_by"]),
                one_line(row["note"], NOTE_WIDTH),
            ]
            for row in rows
        ],
    )


@click.command()
@click.argument("promotion_id", metavar="ID")
@click.option("--comment", default="", help="At most 400 characters.")
@remote_options
def approve(promotion_id: str, comment: str, profile: str | None, project: str | None, as_json: bool) -> None:
    """Approve the promotion ID; the label moves with the last approval that its policy asks for."""
    _decide("approve", promotion_id, {"comment": comment}, profile, project, as_json)


@click.command()
@click.argument("promotion_id", metavar="ID")
@click.option("--comment", default="", help="At most 400 characters.")
@remote_options
def reject(promotion_id: str, comment: str, profile: str | None, project: str | None, as_json: bool) -> None:
    """Reject the promotion ID; the label stays where it is."""
    _decide("reject", promotion_id, {"comment": comment}, profile, project, as_json)


@click.command()
@click.argument("promotion_id", metavar="ID")
@remote_options
def withdraw(promotion_id: str, profile: str | None, project: str | None, as_json: bool) -> None:
    """Take the promotion ID back that you have requested."""
    _decide("withdraw", promotion_id, {}, profile, project, as_json)


def _decide(
    word: str, id: str, body: dict[str, str], profile: str | None, project: str | None, as_json: bool
) -> None:
    with service(profile, project) as remote:
        path = remote.path(f"promotions/{quote_part(id)}/{word}/")
        done = remote.send("POST", path, body, shape=answers.Promotion)
    if as_json:
        show_json(done)
    else:
        say(_sentence(done))


def _sentence(promotion: answers.Promotion) -> str:
    subject = f"{promotion['kind']}/{promotion['name']}: {promotion['label']}"
    if promotion["status"] == "promoted":
        return f"{subject} is version {promotion['version']}"
    move = f"{subject} to version {promotion['version']} is {promotion['status']}"
    if promotion["status"] != "open":
        return move
    return f"{move}, {len(promotion['approvals'])} of {promotion['required']} approvals"
