"""The read models now, or as of an earlier position of the log. Both have the same queries."""

from typing import Protocol
from uuid import UUID

from projections.read import renames, suggestions, versions
from projections.read.versions import Found, Lookup, PageQuery, Pick, Row, VersionLine
from projections.write import labels
from projections.write.labels import Label
from store.postgres.connection import Connection


class ReadModel(Protocol):
    """Questions that every read by name or list comes down to."""

    async def find(self, conn: Connection, project_id: int, kind: str, name: str, pick: Pick = None) -> Found:
        """The stream that held the name and the picked version of it; None for a name that nothing held."""
        ...

    async def newest_numbers(self, conn: Connection, stream_id: UUID) -> list[int]:
        """The newest 20 version numbers, newest first."""
        ...

    async def number_of_id(self, conn: Connection, stream_id: UUID, version_id: UUID) -> int | None: ...

    async def name_of_id(self, conn: Connection, project_id: int, kind: str, version_id: UUID) -> str | None:
        """The active name that a version belongs to."""
        ...

    async def renamed_to(self, conn: Connection, project_id: int, kind: str, name: str) -> str | None:
        """The name that what was called ``name`` has; None when it is no alias."""
        ...

    async def close_names(self, conn: Connection, project_id: int, kind: str, name: str) -> list[str]:
        """Up to 3 active names of the project that resemble ``name``, closest first."""
        ...

    async def lines(
        self, conn: Connection, stream_id: UUID, *, before: int | None, limit: int, offset: int
    ) -> tuple[list[VersionLine], bool]:
        """Versions newest first, and whether there are more after them."""
        ...

    async def labels(self, conn: Connection, stream_id: UUID) -> list[Label]:
        """The labels of a stream by name."""
        ...

    async def page(
        self, conn: Connection, project_id: int, kind: str, wanted: PageQuery
    ) -> tuple[int, list[Row]]:
        """How many artifacts match, and one page of them."""
        ...


class CurrentReadModel:
    """The read models as they are."""

    async def find(self, conn: Connection, project_id: int, kind: str, name: str, pick: Pick = None) -> Found:
        return await versions.find(conn, Lookup(project_id, kind, name, pick))

    async def newest_numbers(self, conn: Connection, stream_id: UUID) -> list[int]:
        return await versions.newest_numbers(conn, stream_id)

    async def number_of_id(self, conn: Connection, stream_id: UUID, version_id: UUID) -> int | None:
        return await versions.number_of_id(conn, stream_id, version_id)

    async def name_of_id(self, conn: Connection, project_id: int, kind: str, version_id: UUID) -> str | None:
        return await versions.name_of_id(conn, project_id, kind, version_id)

    async def renamed_to(self, conn: Connection, project_id: int, kind: str, name: str) -> str | None:
        return await renames.renamed_to(conn, project_id, kind, name)

    async def close_names(self, conn: Connection, project_id: int, kind: str, name: str) -> list[str]:
        return await suggestions.close_names(conn, project_id, kind, name)

    async def lines(
        self, conn: Connection, stream_id: UUID, *, before: int | None, limit: int, offset: int
    ) -> tuple[list[VersionLine], bool]:
        return await versions.lines(conn, stream_id, before=before, limit=limit, offset=offset)

    async def labels(self, conn: Connection, stream_id: UUID) -> list[Label]:
        return await labels.of_stream(conn, stream_id)

    async def page(
        self, conn: Connection, project_id: int, kind: str, wanted: PageQuery
    ) -> tuple[int, list[Row]]:
        return await versions.page(conn, project_id, kind, wanted)


CURRENT = CurrentReadModel()
