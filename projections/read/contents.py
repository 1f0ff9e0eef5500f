"""Contents by digest. They never change, so any cache may keep them."""

from collections.abc import Iterable, Mapping

from store.postgres.connection import Connection

# contents_pkey
SELECT = "SELECT digest, bytes FROM contents WHERE digest = ANY(%s)"


async def read(conn: Connection, digests: Iterable[bytes]) -> Mapping[bytes, bytes]:
    """Bytes by digest. Raises KeyError at use for a digest that is not stored, which no event names."""
    cursor = await conn.execute(SELECT, (list(digests),), binary=True)
    return dict(await cursor.fetchall())
