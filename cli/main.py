"""The `skald` command."""

import os
import sys
from typing import Any

import click

from cli.errors import Failure
from cli.lazy import Lazy, LazyGroup
from cli.output import say, say_text, settle_streams, show_json
from domain.errors import Refused

SKILLS = {
    "login": Lazy("cli.client.login", "login", "Keep the address and key of a service."),
    "logout": Lazy("cli.client.login", "logout", "Forget a key."),
    "push": Lazy("cli.client.push", "push", "Publish the skills of folders, as far as they changed."),
    "pull": Lazy("cli.client.pull", "pull", "Write skills of the service into a folder."),
    "import-from": Lazy(
        "cli.importing.command", "import_from", "Bring skills and prompts with their versions from elsewhere."
    ),
    "check": Lazy("cli.client.check", "check", "Say what has become of the skills of a lock file."),
    "list": Lazy("cli.client.browse", "list_skills", "List skills or prompts."),
    "search": Lazy("cli.client.search", "search", "Find skills and prompts by what is in them."),
    "show": Lazy("cli.client.browse", "show", "Show a skill, one of its files, or a prompt."),
    "log": Lazy("cli.client.browse", "log", "Show what happened to a skill or prompt, newest first."),
    "diff": Lazy("cli.client.browse", "diff", "Show what differs between versions, or from a folder."),
    "blame": Lazy("cli.client.past", "blame", "Show who wrote each line, and in which version."),
    "revert": Lazy("cli.client.past", "revert", "Publish an earlier version again."),
    "rename": Lazy("cli.client.past", "rename", "Give a skill or prompt another name."),
    "yank": Lazy("cli.client.past", "yank", "Say that a version should not be used any more."),
    "unyank": Lazy("cli.client.past", "unyank", "Take that back."),
    "archive": Lazy(
        "cli.client.past", "archive", "Take a skill or prompt out of the lists; its name is free then."
    ),
    "unarchive": Lazy("cli.client.past", "unarchive", "List what is archived, or bring it back."),
    "label": Lazy("cli.client.past", "label", "Show or set labels."),
    "label-policy": Lazy("cli.client.govern", "label_policy", "Show or set which labels are protected."),
    "tag": Lazy("cli.client.marks", "tag", "Show or set the tags of a skill or prompt."),
    "owner": Lazy("cli.client.marks", "owner", "Show or set who answers for a skill or prompt."),
    "promote": Lazy("cli.client.govern", "promote", "Request that a label moves to a version."),
    "promotions": Lazy("cli.client.govern", "promotions", "List such requests."),
    "approve": Lazy("cli.client.govern", "approve", "Approve one; the last approval moves the label."),
    "reject": Lazy("cli.client.govern", "reject", "Reject one."),
    "withdraw": Lazy("cli.client.govern", "withdraw", "Take one back."),
    "mirror": Lazy("cli.client.mirror", "mirror", "Show whether the project is a mirror, or end that."),
    "usage": Lazy("cli.client.usage", "usage", "Show which versions are read, by whom and how often."),
    "audit": Lazy("cli.client.past", "audit", "Show who did what in the project."),
}
SERVICE = {
    "serve": Lazy("cli.operator.operate", "serve", "Run the service: API, followers, PostgreSQL and Valkey."),
    "worker": Lazy("cli.operator.operate", "worker", "Run the followers of the log alone."),
    "console": Lazy("cli.operator.console", "console", "Print a link that signs in to the console."),
    "demo": Lazy("cli.operator.demo", "demo", "Fill a project with examples."),
    "migrate": Lazy("cli.operator.operate", "migrate", "Bring the database up to date."),
    "config": Lazy("cli.operator.operate", "config", "Show every setting."),
    "project": Lazy("cli.operator.identity", "project", "Create and list projects."),
    "user": Lazy("cli.operator.identity", "user", "Create, list and erase users."),
    "key": Lazy("cli.operator.identity", "key", "Create, list and revoke keys."),
    "share": Lazy("cli.operator.shares", "share", "Create, list and revoke addresses for installers."),
    "verify": Lazy("cli.operator.history", "verify", "Check that the database is what the log says."),
    "replay": Lazy("cli.operator.history", "replay", "Make the read models anew from the log."),
    "sweep": Lazy("cli.operator.sweep", "sweep", "Remove what grows and has no end of its own."),
    "export": Lazy(
        "cli.operator.history", "export_log", "Write the log to a file, to be imported elsewhere."
    ),
    "import": Lazy("cli.operator.history", "import_log", "Read such a file into an empty service."),
    "backup": Lazy("cli.operator.backup", "backup", "Write the whole database to a file."),
    "restore": Lazy("cli.operator.backup", "restore", "Put such a file in the place of the database."),
}


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        say(f"skald {version('skald')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    sections={"Skills of a service, from anywhere": SKILLS, "The service, on its host": SERVICE},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def skald() -> None:
    """Skald: versioned skills and prompts for agents, on one event log."""


def main() -> None:
    """Run the command line; every failure is one line on standard error, and with ``--json`` an object as well."""
    # httpx would load a command line of its own, which takes a third of our start; it does without when there is none.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    settle_streams()
    try:
        skald(prog_name="skald", standalone_mode=False)
    except Failure as failure:
        _fail(str(failure), failure.code, attr=failure.attr, exit_code=failure.exit_code, extra=failure.extra)
    except Refused as refusal:
        _fail(refusal.detail, refusal.code, attr=refusal.attr)
    except click.UsageError as error:
        where = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        _fail(f"{error.format_message()}{where}", "usage", exit_code=2)
    except click.ClickException as error:
        _fail(error.format_message(), "failed", exit_code=error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", "interrupted", exit_code=130)
    except BrokenPipeError:
        # The reader of our output is gone; nothing is left to say, also not at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{os.strerror(error.errno)}", "system_error")
    except Exception as error:
        if (found := _of_database(error)) is None:
            raise
        _fail(*found)


def _of_database(error: Exception) -> tuple[str, str] | None:
    """The sentence and code for what a database can answer; None for any other error."""
    if "psycopg" not in sys.modules:
        return None  # a command that knows no database
    import psycopg

    from store.postgres.migrate import MigrationError
    from store.postgres.sessions import SessionsNotKept

    match error:
        case SessionsNotKept():
            return str(error), "sessions_not_kept"
        case MigrationError():
            return str(error), "migration_failed"
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return (
                "the database is not up to date with this version of Skald; run `skald migrate`",
                "not_migrated",
            )
        case psycopg.OperationalError():
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return f"the database does not answer: {reason}", "unavailable"
    return None


def _fail(
    detail: str,
    code: str,
    *,
    attr: str | None = None,
    exit_code: int = 1,
    extra: dict[str, Any] | None = None,
) -> None:
    say_text(f"skald: {detail}", err=True)
    if "--json" in sys.argv[1:]:
        show_json({"error": {"code": code, "detail": detail, "attr": attr, **(extra or {})}})
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
