"""A connection for one query at a time, which answers sooner than one of the pool.

Its socket stays registered with the event loop, and nobody checks it out or puts it back: together a quarter of a short query.
That it was lost is noticed at once, not at its next use.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import abc
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from store.postgres.connection import Connection
from store.postgres.pipeline import Statement, load
from store.postgres.pool import connect

logger = logging.getLogger(__name__)

RETRY = 1.0  # seconds after which another attempt to connect may begin


class QuickConnection:
    """Runs the queries ``statements`` (placeholders as in ``store.postgres.pipeline``), which it prepares when it connects."""

    def __init__(self, dsn: str, statements: Iterable[str]) -> None:
        self._dsn = dsn
        self._statements = {sql: Statement(sql) for sql in statements}
        self._conn: Connection | None = None
        self._fd = -1
        self._closed = False
        self._loaders: dict[str, abc.Transformer] = {}
        self._opening: asyncio.Task[None] | None = None
        # Of the query under way; whoever waits for it may have gone away.
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None

    def ready(self) -> bool:
        """Whether ``select`` may be called now. Begins to connect when there is no connection."""
        if self._conn is None and self._opening is None and not self._closed:
            self._opening = asyncio.create_task(self._open(), name="quick connection")
        return self._conn is not None and self._answer is None

    async def select(self, sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        """The rows of one query as Python values, times in UTC. It is sent before this waits for anything.

        A query whose caller goes away ends by itself; until then nothing is ``ready``. Raises psycopg.Error, an
        OperationalError when the connection was lost.
        """
        if self._conn is None or self._answer is not None:
            raise RuntimeError("a quick connection takes one query at a time, when it is ready")
        statement = self._statements[sql]
        parameters = statement.encode(values)
        pgconn = self._conn.pgconn
        loop = asyncio.get_running_loop()
        answer = self._answer = loop.create_future()
        try:
            pgconn.send_query_prepared(
                statement.name, parameters, statement.formats, result_format=Format.BINARY
            )
            if pgconn.flush():
                # The socket has not taken all of it.
                loop.add_writer(self._fd, self._write)
        except psycopg.Error as error:
            self._lose(error)
        result = await answer
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        return load(self._loaders, sql, result)

    async def close(self) -> None:
        """Whoever waits hears an OperationalError."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._conn is not None:
            self._lose(psycopg.OperationalError("the connection is being closed"))

    async def _open(self) -> None:
        try:
            conn = await connect(self._dsn, application_name="skald-quick")
            try:
                for statement in self._statements.values():
                    await conn.execute(b"PREPARE %b AS %b" % (statement.name, statement.query), prepare=False)
            except BaseException:
                await conn.close()
                raise
        except (psycopg.Error, OSError) as error:
            # Meanwhile the pool answers, or tells those who ask what is wrong.
            logger.warning(
                "no quick connection to the database: %s", str(error).strip() or type(error).__name__
            )
            await asyncio.sleep(RETRY)
        else:
            self._conn, self._fd = conn, conn.pgconn.socket
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        finally:
            self._opening = None

    def _write(self) -> None:
        assert self._conn is not None
        try:
            if not self._conn.pgconn.flush():
                asyncio.get_running_loop().remove_writer(self._fd)
        except psycopg.Error as error:
            self._lose(error)

    def _read(self) -> None:
        """Take what has come: a part of the answer, its end, or that the server is gone."""
        assert self._conn is not None
        pgconn = self._conn.pgconn
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    break
                self._result = result
            else:
                # Behind what has come there may be an error, of which uvloop tells once: it needs a new look then.
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._fd)
                loop.add_reader(self._fd, self._read)
                return
        except psycopg.Error as error:
            self._lose(error)
            return
        if pgconn.status == ConnStatus.BAD:
            self._lose(psycopg.OperationalError("the connection was lost"))
        elif self._answer is not None and self._result is not None:
            answer, result = self._answer, self._result
            self._answer = self._result = None
            if not answer.done():
                answer.set_result(result)

    def _lose(self, error: psycopg.Error) -> None:
        assert self._conn is not None
        loop = asyncio.get_running_loop()
        # While the number is still that of this socket.
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._conn.pgconn.finish()
        answer = self._answer
        self._conn = self._answer = self._result = None
        self._loaders.clear()
        if answer is not None and not answer.done():
            answer.set_exception(error)
