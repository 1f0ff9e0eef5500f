"""`skald serve`, `worker`, `migrate` and `config`: run the service and see how it is set."""

import asyncio
import signal
from pathlib import Path

import click

from cli.embedded.folder import DataFolder
from cli.errors import Failure
from cli.operator.database import database
from cli.options import as_json as json_option
from cli.options import common, settings_with
from cli.options import data_dir as data_dir_option
from cli.output import show_json, show_table
from cli.schema import migrate as apply_migrations
from cli.server.serve import Service


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
@data_dir_option
def worker(data_dir: Path | None) -> None:
    """Run the followers of the log alone, beside API processes of this or other hosts."""
    from api.server.logs import set_up_logging
    from workers.main import run

    settings = settings_with(data_dir=data_dir)
    set_up_logging(settings.log_level)
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

    async def until_told() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
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


@click.command()
@common
def migrate(data_dir: Path | None, as_json: bool) -> None:
    """Bring the database up to date; `skald serve` does so at each start."""
    with database(settings_with(data_dir=data_dir), migrated=False) as url:
        applied = asyncio.run(apply_migrations(url))
    if as_json:
        show_json({"applied": applied})
    else:
        click.echo("\n".join(applied) or "the database is up to date")


@click.command()
@data_dir_option
@json_option
def config(data_dir: Path | None, as_json: bool) -> None:
    """Show every setting: its value, default, environment variable and meaning."""
    shown = settings_with(data_dir=data_dir).shown()
    if as_json:
        show_json({"settings": shown})
        return
    show_table(
        ["variable", "value", "default", "meaning"],
        [[row.variable, row.value or "-", row.default or "-", row.meaning] for row in shown],
    )
