"""`skald serve`, `worker`, `migrate` and `config`: run the service and see how it is set."""

import asyncio
import logging
import signal
from pathlib import Path

import click
import psycopg

from cli.embedded.folder import DataFolder
from cli.errors import Failure
from cli.operator.database import database
from cli.options import as_json as json_option
from cli.options import common, settings_with
from cli.options import data_dir as data_dir_option
from cli.output import say, say_text, show_json, show_table
from cli.schema import check_release
from cli.schema import migrate as apply_migrations
from cli.server.serve import Service
from cli.settings import Settings, variable
from store.postgres.pool import connect
from store.postgres.sessions import SessionsNotKept, check_sessions
from store.tables.readiness import FollowerState, followers, not_run
from workers.task import first_line, sleep

logger = logging.getLogger(__name__)

RETRY = 1.0  # seconds between two looks for a database that is away
PATIENCE = 2.0  # seconds that the settings wait for the databases which they name


@click.command()
@click.option("--host", help="Address to listen on  [default: $SKALD_HOST or 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to listen on  [default: $SKALD_PORT or 8000]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    help="API processes  [default: $SKALD_WORKERS or one per core, at most 4]",
)
@click.option("--no-worker", is_flag=True, help="Leave the followers to a `skald worker` elsewhere.")
@data_dir_option
def serve(
    host: str | None, port: int | None, workers: int | None, no_worker: bool, data_dir: Path | None
) -> None:
    """Run the service: API processes, followers and, unless the settings name others, PostgreSQL and Valkey."""
    Service(
        settings_with(host=host, port=port, workers=workers, data_dir=data_dir), followers=not no_worker
    ).run()


@click.command()
@click.option(
    "--check", is_flag=True, help="Only say how the followers are; exit code 1 when one does not go on."
)
@data_dir_option
def worker(check: bool, data_dir: Path | None) -> None:
    """Run the followers of the log alone, beside API processes of this or other hosts."""
    settings = settings_with(data_dir=data_dir)
    database_url, redis_url, secret_key = settings.database_url, settings.redis_url, settings.secret_key
    if not database_url:
        folder = DataFolder(settings.data_dir)
        running = folder.running()
        if not running:
            raise Failure(
                f"no database: set SKALD_DATABASE_URL, or start `skald serve` on the data folder {settings.data_dir}"
            )
        database_url, redis_url = running.database_url, redis_url or running.redis_url
        secret_key = secret_key or folder.secret_key()
    if check:
        asyncio.run(check_release(database_url))
        _tell_followers(database_url, not_run(redis=bool(redis_url), secret_key=bool(secret_key)))
        return

    from api.server.logs import set_up_logging
    from api.server.metrics import PROCESSES
    from api.server.processes import announce
    from workers.main import run

    set_up_logging(settings.log_level)
    if settings.run_dir:
        # The API processes of this host show its figures.
        announce(settings.run_dir / "metrics" / PROCESSES, "worker")

    async def until_told() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await _check_release(database_url, stop)
        await run(
            database_url=database_url,
            redis_url=redis_url,
            stop=stop,
            ready=lambda: None,
            stream_maxlen=settings.stream_maxlen,
            stream_max_bytes=settings.stream_max_bytes,
            stream_max_total_bytes=settings.stream_max_total_bytes,
            stream_replay=settings.stream_replay,
            secret_keys=secret_key,
            webhook_allow_private=settings.webhook_allow_private,
            public_url=settings.public_url or "",
        )

    import uvloop

    uvloop.run(until_told())


async def _check_release(database_url: str, stop: asyncio.Event) -> None:
    """Raises MigrationError; a database that is away is waited for, as by the followers themselves."""
    while not stop.is_set():
        try:
            await check_release(database_url)
            return
        except (psycopg.OperationalError, OSError) as error:
            logger.warning("the database is away: %s", first_line(error))
        await sleep(stop, RETRY)


def _tell_followers(database_url: str, without: set[str]) -> None:
    """A line for each follower that this service runs. Raises Failure when one of them does not go on."""

    async def ask() -> dict[str, FollowerState]:
        async with await connect(database_url, application_name="skald-cli") as conn:
            return await followers(conn)

    states = {name: state for name, state in asyncio.run(ask()).items() if name not in without}
    for name, state in states.items():
        if state.failure is None:
            say(f"{name}: {state.lag} events behind")
    if failing := [f"{name}: {state.failure.error}" for name, state in states.items() if state.failure]:
        raise Failure("; ".join(failing))


@click.command()
@common
def migrate(data_dir: Path | None, as_json: bool) -> None:
    """Bring the database up to date; `skald serve` does so at each start."""
    with database(settings_with(data_dir=data_dir), migrated=False) as url:
        applied = asyncio.run(apply_migrations(url))
    if as_json:
        show_json({"applied": applied})
    else:
        say_text("\n".join(applied) or "the database is up to date")


@click.command()
@data_dir_option
@json_option
def config(data_dir: Path | None, as_json: bool) -> None:
    """Show every setting: its value, default, environment variable and meaning, and what an address leads to that cannot be used."""
    settings = settings_with(data_dir=data_dir)
    shown, problems = settings.shown(), asyncio.run(_problems(settings))
    if as_json:
        show_json({"settings": shown, "problems": problems})
    else:
        show_table(
            ["variable", "value", "default", "meaning"],
            [[row.variable, row.value or "-", row.default or "-", row.meaning] for row in shown],
        )
    if problems:
        raise Failure("; ".join(problems))


async def _problems(settings: Settings) -> list[str]:
    """A sentence for each database address that leads to a pooler which keeps no sessions. One that does not answer says nothing."""

    async def problem(name: str) -> str | None:
        address = getattr(settings, name)
        if address is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                await check_sessions(address, variable(name))
        except SessionsNotKept as error:
            return f"{variable(name)}: {error}"
        except (psycopg.Error, OSError, TimeoutError):
            pass
        return None

    found = await asyncio.gather(*map(problem, ("database_url", "read_database_url")))
    return [problem for problem in found if problem is not None]
