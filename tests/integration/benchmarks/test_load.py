"""The benchmarks of size, load and overload work: tiny forms of them, whose figures mean nothing."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from benchmarks import fill, mlflow_peer, overload, scale, soak
from benchmarks.plan import Plan
from benchmarks.pressure import Push, push
from benchmarks.stage import Server
from projections.rebuild.verify import verify
from store.postgres.pool import connect
from tests.support.service import MakeService, Service

pytestmark = pytest.mark.slow


@pytest.fixture
def service(make_service: MakeService, fresh_database_url: str, request: pytest.FixtureRequest) -> Service:
    """One process that works on as many requests at once as its mark says."""
    limit = str(getattr(request, "param", 128))
    made = make_service(
        database_url=fresh_database_url, redis_url=None, settings={"SKALD_MAX_IN_FLIGHT": limit}
    )
    made.make_user(fill.EMAIL, first_name="Bench")
    return made


async def project(service: Service, skills: int, versions: int = 1) -> tuple[int, str]:
    async with await connect(service.database_url) as conn:
        project_id, key = await fill.project(conn, "Tiny")
        await fill.skills(conn, project_id, skills, versions=versions)
    return project_id, key


def test_what_is_filled_in_is_what_requests_leave_and_size_is_asked(service: Service) -> None:
    project_id, key = asyncio.run(project(service, 3, versions=1_500))
    assert asyncio.run(verify(service.database_url)).sound
    place = scale.Place(project_id, key, 3, 1_500)
    plan = Plan(rounds=1, warmup=0, seconds=0.1, workers=1)
    [found] = scale.measure(Server(service.port, 0), plan, {**scale.LISTS, **scale.HISTORIES}, [place])
    assert {len(seconds) for seconds in found.values()} == {scale.REQUESTS}


@pytest.mark.parametrize("service", [2], indirect=True)
def test_more_is_asked_than_two_at_a_time_can_be_answered(service: Service) -> None:
    project_id, key = asyncio.run(project(service, 60))
    job = Push(
        port=service.port,
        key=key,
        path=f"/api/projects/{project_id}/llm_skills",
        rate=0,
        seconds=1.0,
        names=tuple(map(fill.name_of, range(60))),
    )
    with overload._probing(Server(service.port, 0)) as probes:
        found = push(job)
    again = push(msgspec.structs.replace(job, names=job.names[:2]))
    assert set(found.statuses) == {"200", "503"}
    assert sum(found.statuses.values()) == found.sent
    assert (found.hasty, found.first_other) == (0, "")
    assert set(again.statuses) == {"200"}
    assert {status for counted in probes.statuses.values() for status in counted} <= {200}


def test_mixed_traffic_is_right_and_a_consumer_sees_all_of_it(service: Service) -> None:
    project_id, key = asyncio.run(project(service, soak.SKILLS, versions=5))
    path = f"/api/projects/{project_id}"
    with soak._following(service.port, key, path, service.database_url) as consumer:
        driven = soak.drive(soak.Traffic(port=service.port, key=key, path=path, seconds=3.0))
        seen, expected = consumer(project_id)
    [pid] = service.api_pids()
    assert (driven.wrong, driven.example) == (0, "")
    assert seen == expected
    assert seen
    memory = soak.Memory.of(pid)
    assert 10_000_000 < memory.uss <= memory.rss


def test_an_address_is_told_to_mlflow_in_its_own_form() -> None:
    told = mlflow_peer.sqlalchemy_url("host='/run/a b' user=skald dbname=peer")
    assert told == "postgresql+psycopg2://skald@/peer?host=%2Frun%2Fa%20b&port=5432"


def test_without_mlflow_its_table_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mlflow_peer, "PLACE", tmp_path / "mlflow")
    monkeypatch.setattr(mlflow_peer, "PACKAGES", ("--no-index", "mlflow==0"))
    with pytest.raises(mlflow_peer.MlflowMissing, match="cannot be installed"):
        mlflow_peer.installed()
