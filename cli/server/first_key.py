"""The key that a new installation starts with, so that its first request is a line to paste."""

import contextlib
import shlex
from pathlib import Path

import msgspec

from cli.embedded.folder import write_private
from domain.errors import Invalid
from domain.keys import EVERYTHING
from store.log.history import LogHistory
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import identity

OWNER = "owner@skald.local"
# Everything, in every project: it is of the owner of the installation, who can make such keys on the host anyway, and people belong to
# no project. In the console it gives others, and agents, keys that may do less.
SCOPES = (EVERYTHING,)


class FirstKey(msgspec.Struct, frozen=True):
    """``is_new``: made by this start, which alone may show the ``secret``."""

    project_id: int
    secret: str
    file: Path
    is_new: bool

    def first_request(self, address: str, *, on_terminal: bool) -> list[str]:
        """Lines with a command that lists the skills of the project; it works however often it is pasted.

        Only a new key on a terminal is shown. Other output goes into logs, and names the file that holds the key.
        """
        url = f"{address}/api/projects/{self.project_id}/llm_skills/"
        if self.is_new and on_terminal:
            line = f"curl -sS {url} -H 'Authorization: Bearer {self.secret}'"
            return ["Try it:", f"  {line}", f"The key is shown this once; it is kept in {self.file}"]
        line = f'curl -sS {url} -H "Authorization: Bearer $(cat {shlex.quote(str(self.file))})"'
        return ["Try it:", f"  {line}"]


async def ensure(database_url: str, file: Path, *, embedded: bool) -> FirstKey | None:
    """The first project and a key of it, made at the first start and kept in ``file``; None when there is no such key.

    A database of our own gets one when the file is missing; a shared one only while no key exists, so that not
    each new host makes one. A key that was revoked is not made again, and one of an earlier release keeps its scopes.
    """
    connection = await connect(database_url, application_name="skald-serve")
    async with connection:
        await LogHistory().settle(connection)
        # Two services that start on one database at the same time make one project and one key.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('skald first key'))")
            project_id = await identity.first_project_id(connection)
            if project_id is None:
                project_id = (await identity.create_project(connection, "Default")).id
        if file.exists():
            kept = file.read_text().strip()
            if await identity.find_key(connection, identity.digest_of(kept)):
                return FirstKey(project_id, kept, file, is_new=False)
        if await identity.list_keys(connection) and (file.exists() or not embedded):
            return None
        return FirstKey(project_id, await _make(connection, file), file, is_new=True)


async def _make(connection: Connection, file: Path) -> str:
    with contextlib.suppress(Invalid):  # a start that was cut off here has made the user already
        await identity.create_user(connection, email=OWNER, first_name="Owner")
    _, secret = await identity.create_key(connection, email=OWNER, scopes=SCOPES, label="first key")
    write_private(file, f"{secret}\n")
    return secret
