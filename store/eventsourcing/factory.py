"""The infrastructure of an application that is written with the ``eventsourcing`` library and follows Skald's log.

The events are those of the log. What a follower keeps for itself (views with their tracking, snapshots, the events of an
event-sourced projection) goes where the library's own ``POSTGRES_*`` settings say, by the library's own recorders.
"""

from typing import Any, TypeVar

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    Mapper,
    ProcessRecorder,
    Transcoder,
)
from eventsourcing.postgres import PostgresFactory, PostgresTrackingRecorder
from eventsourcing.utils import Environment, EnvType, strtobool

from store.eventsourcing.datastore import Datastore
from store.eventsourcing.mapper import EventMapper
from store.eventsourcing.recorder import LogAggregateRecorder, LogRecorder

T = TypeVar("T", bound=PostgresTrackingRecorder)


class Factory(InfrastructureFactory[PostgresTrackingRecorder]):
    """Chosen by ``PERSISTENCE_MODULE=store.eventsourcing``.

    Its settings, each also read with the name of the application before it, as the library does with all of them:

    ``SKALD_DATABASE_URL``  the database of the log; a role that may SELECT from ``events`` is enough
    ``SKALD_PROJECT_ID``    follow the events of one project alone
    ``SKALD_LOG_APPEND``    "yes" in a database of the application's own lets it append its own events

    Raises OSError when a setting lacks or is none.
    """

    DATABASE_URL = "SKALD_DATABASE_URL"
    PROJECT_ID = "SKALD_PROJECT_ID"
    LOG_APPEND = "SKALD_LOG_APPEND"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.DATABASE_URL)
        if not url:
            raise OSError(f"{self.DATABASE_URL} is not set; it names the database of the log")
        project = self.env.get(self.PROJECT_ID)
        if project and not project.isdecimal():
            raise OSError(f"{self.PROJECT_ID} is {project!r}; it is the number of a project, or not set")
        self._project_id = int(project) if project else None
        self._appends = strtobool(self.env.get(self.LOG_APPEND) or "no")
        self._log = Datastore(url)
        self._own: PostgresFactory | None = None

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[Any]] | None = None
    ) -> Mapper[Any]:
        if mapper_class is None and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = EventMapper
        return super().mapper(transcoder, mapper_class)

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        if purpose != "events":
            return self._own_factory().aggregate_recorder(purpose)
        return LogAggregateRecorder(self._log, project_id=self._project_id, appends=self._appends)

    def application_recorder(self) -> ApplicationRecorder:
        return LogRecorder(self._log, project_id=self._project_id, appends=self._appends)

    def tracking_recorder(self, tracking_recorder_class: type[T] | None = None) -> T:
        return self._own_factory().tracking_recorder(tracking_recorder_class)

    def process_recorder(self) -> ProcessRecorder:
        return self._own_factory().process_recorder()

    def close(self) -> None:
        """Close the connections to both databases."""
        self._log.close()
        if self._own is not None:
            self._own.close()

    def _own_factory(self) -> PostgresFactory:
        if self._own is None:
            self._own = PostgresFactory(self.env)
        return self._own
