"""A PostgreSQL primary with an asynchronous standby, for API hosts in front of both."""

from collections.abc import Iterator

import pytest

from tests.support.cluster import REPLICATION, Pair, with_standby
from tests.support.servers import StartServers


@pytest.fixture
def cluster(private_servers: StartServers) -> Iterator[Pair]:
    primary = private_servers(cache=False, settings=REPLICATION).postgres
    assert primary is not None
    with with_standby(primary) as pair:
        yield pair
