"""`skald label-policy`: which labels are protected, and how they move."""

import click

from cli.client import answers
from cli.client.browse import who
from cli.client.remote import quote_part
from cli.client.remote_options import remote_options, service
from cli.output import minute, say, show_json, show_table
from domain.artifacts.policies import MAX_APPROVALS


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
