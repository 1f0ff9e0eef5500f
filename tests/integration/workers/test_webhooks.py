"""Webhooks against a real receiver: signed, at least once, in the order of each subject, and only where they may go."""

import asyncio
import contextlib
import json
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook as Signer
from standardwebhooks import WebhookVerificationError

from domain.artifacts.skills import Skill
from domain.webhooks import Schedule
from projections.events import feed
from projections.events.cloudevents import cloudevent_json
from store.log.appender import Appender
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import identity, webhooks
from store.tables.sealing import Sealer
from store.tables.webhooks import Delivery, Webhook
from tests.support.following import following
from tests.support.histories import History, created, published
from tests.support.receiver import Received, Receiver, Reply, receiving
from tests.support.servers import ROOT, SKALD, StartService, eventually
from workers import webhooks as working
from workers.outbound import CheckedBackend, Forbidden, open_client
from workers.webhooks import Options, WebhookFollower

SEALER = Sealer(["0123456789abcdef0123456789abcdef"])
QUICK = Schedule(first_pause=0.05, factor=1.5, max_pause=0.2, give_up_after=60)


class Stage:
    """A project whose events a test writes, and its webhooks."""

    def __init__(self, url: str, conn: Connection, project_id: int, appender: Appender) -> None:
        self.url, self.conn, self.project_id, self.appender = url, conn, project_id, appender
        self._skills: dict[str, Skill] = {}

    async def write(self, *names: str) -> list[int]:
        """An event for each name, in this order: its creation first, then new versions. Their positions."""
        written = []
        for name in names:
            skill, commit = (
                published(self._skills[name], project_id=self.project_id)
                if name in self._skills
                else created(name, project_id=self.project_id)
            )
            self._skills[name] = skill
            written.append((await self.appender.append(commit)).last)
        return written

    async def hook(self, url: str, **options: Any) -> tuple[Webhook, str]:
        values = {
            "description": "",
            "types": [],
            "names": "",
            "enabled": True,
            "after": None,
            "created_by": None,
        }
        return await webhooks.create(
            self.conn, SEALER, project_id=self.project_id, url=url, **{**values, **options}
        )

    async def state(self, hook: Webhook) -> Webhook:
        return await webhooks.find(self.conn, hook.id, self.project_id)

    async def deliveries(self, hook: Webhook) -> list[Delivery]:
        """Oldest first."""
        return (await webhooks.deliveries(self.conn, hook.id, status=None, before=None, limit=1000))[::-1]

    async def until(self, condition: Callable[[], Any], timeout: float = 10) -> Any:
        async with asyncio.timeout(timeout):
            while not (found := await condition()):
                await asyncio.sleep(0.02)
        return found

    async def settled(self, hook: Webhook) -> list[Delivery]:
        """The deliveries once none is pending."""

        async def done() -> list[Delivery]:
            found = await self.deliveries(hook)
            return found if all(one.status != "pending" for one in found) else []

        return cast(list[Delivery], await self.until(done))

    @asynccontextmanager
    async def worker(self, **options: Any) -> AsyncIterator[None]:
        chosen = Options(**{"schedule": QUICK, "timeout": 2.0, "allow_private": True, **options})
        async with following(self.url, lambda news: WebhookFollower(news, self.url, SEALER, chosen)):
            yield


@pytest_asyncio.fixture
async def stage(fresh_database_url: str) -> AsyncIterator[Stage]:
    appender = Appender(fresh_database_url)
    await appender.start()
    async with await connect(fresh_database_url) as conn:
        project = await identity.create_project(conn, "Test")
        yield Stage(fresh_database_url, conn, project.id, appender)
    await appender.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def test_an_event_arrives_signed_as_the_cloudevent_of_the_feed(
    stage: Stage, receiver: Receiver
) -> None:
    await stage.write("before")
    hook, secret = await stage.hook(receiver.url("/a?b=c"))
    async with stage.worker():
        [position] = await stage.write("pdf")
        [request] = await receiver.got(1)
        [delivery] = await stage.settled(hook)
    request.verify(secret)
    with pytest.raises(WebhookVerificationError):
        request.verify(webhooks.new_secret())
    assert request.target == "/a?b=c"
    assert request.id == f"evt_{position}"
    assert request.headers["content-type"] == "application/cloudevents+json"
    item = await feed.one(stage.conn, stage.project_id, position)
    assert item is not None
    assert request.body == cloudevent_json(item.recorded, item.kind, item.name)
    assert (delivery.status, delivery.attempts, delivery.response_status) == ("delivered", 1, 200)
    assert delivery.response_body == b"thanks"
    assert delivery.duration_ms is not None
    assert delivery.error is None
    state = await stage.state(hook)
    assert (state.position, state.pending, state.failing_since) == (position, 0, None)


async def test_filters_by_type_and_name_and_another_project_stays_out(
    stage: Stage, receiver: Receiver
) -> None:
    await stage.hook(receiver.url(), types=["skald.skill.published.v1"], names="skill/pdf-*", after=0)
    first = await stage.write("pdf-a", "doc", "pdf-a", "doc", "pdf-b", "pdf-b")
    other = await identity.create_project(stage.conn, "Other")
    skill, commit = created("pdf-c", project_id=other.id)
    await stage.appender.append(commit)
    await stage.appender.append(published(skill, project_id=other.id)[1])
    async with stage.worker():
        await receiver.got(2)
        [last] = await stage.write("pdf-b")
        await receiver.got(3)
    assert sorted(receiver.positions[:2]) == [first[2], first[5]]
    assert receiver.positions[2] == last


async def test_a_failure_is_tried_again_with_the_same_id_and_a_fresh_time(
    stage: Stage, receiver: Receiver
) -> None:
    hook, secret = await stage.hook(receiver.url())
    answers = iter(
        [Reply(500, b"x" * 5000), Reply(503), Reply(429, headers={"retry-after": "1"}), Reply(204, b"")]
    )
    receiver.reply = lambda _: next(answers)
    async with stage.worker(schedule=Schedule(first_pause=0.4, factor=1, max_pause=2)):
        await stage.write("pdf")
        await receiver.got(1)

        async def failing() -> bool:
            return (await stage.state(hook)).failing_since is not None

        await stage.until(failing)
        [waiting] = await stage.deliveries(hook)
        assert (waiting.status, waiting.attempts, waiting.error) == ("pending", 1, "answered 500")
        assert len(waiting.response_body or b"") == 1024
        requests = await receiver.got(4)
        [delivery] = await stage.settled(hook)
    assert len({request.id for request in requests}) == 1
    assert len({request.body for request in requests}) == 1
    for request in requests:
        request.verify(secret)
    gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
    assert all(gap >= 0.28 for gap in gaps), gaps
    assert gaps[2] >= 0.95, "Retry-After is kept"
    assert (delivery.status, delivery.attempts) == ("delivered", 4)
    assert (await stage.state(hook)).failing_since is None
    totals = await webhooks.totals(stage.conn)
    assert (totals.attempts, totals.pending) == ({"delivered": 1, "retry": 3, "failed": 0}, 0)


async def test_gone_ends_it_at_once_and_switching_it_on_goes_on_where_it_stopped(
    stage: Stage, receiver: Receiver
) -> None:
    hook, _ = await stage.hook(receiver.url())
    receiver.reply = lambda _: Reply(410)
    async with stage.worker():
        [first] = await stage.write("a")

        async def off() -> Webhook | None:
            state = await stage.state(hook)
            return None if state.enabled else state

        state = await stage.until(off)
        assert "410" in (state.disabled_reason or "")
        later = await stage.write("b", "c")
        await asyncio.sleep(0.3)
        await receiver.got(1)
        receiver.reply = lambda _: Reply()
        await webhooks.change(stage.conn, hook.id, stage.project_id, {"enabled": True})
        await receiver.got(3)
        await stage.settled(hook)
    assert receiver.positions[0] == first
    assert sorted(receiver.positions[1:]) == later
    assert (await stage.deliveries(hook))[0].status == "failed"
    assert (await stage.state(hook)).disabled_reason is None
    assert (await webhooks.totals(stage.conn)).attempts == {"delivered": 2, "retry": 0, "failed": 1}


async def test_it_is_switched_off_with_a_reason_when_it_fails_for_too_long(
    stage: Stage, receiver: Receiver
) -> None:
    hook, _ = await stage.hook(receiver.url())
    receiver.reply = lambda _: Reply(500)
    # Three days ago the last success; the log of it is moved, not the clock.
    async with stage.worker(schedule=Schedule(first_pause=0.05, factor=1, max_pause=0.05)):
        await stage.write("a")
        await stage.until(lambda: _failing(stage, hook))
        assert (await stage.state(hook)).enabled
        await stage.conn.execute("UPDATE webhooks SET failing_since = now() - interval '3 days'")

        async def off() -> Webhook | None:
            state = await stage.state(hook)
            return None if state.enabled else state

        state = await stage.until(off)
    assert "answered 500" in state.disabled_reason
    assert [one.status for one in await stage.deliveries(hook)] == ["pending"], "nothing is lost"


async def _failing(stage: Stage, hook: Webhook) -> bool:
    return (await stage.state(hook)).failing_since is not None


async def test_one_event_that_is_refused_for_three_days_is_given_up_and_the_next_goes_on(
    stage: Stage, receiver: Receiver
) -> None:
    hook, _ = await stage.hook(receiver.url())
    async with stage.worker():
        first, second = await stage.write("a", "a")
        await stage.settled(hook)
        receiver.reply = lambda request: Reply(400 if request.event["position"] == third else 200)
        third = first + 2
        await stage.write("a", "b")
        await stage.until(lambda: _failing(stage, hook))
        await stage.conn.execute(
            "UPDATE webhook_deliveries SET first_at = now() - interval '73 hours' WHERE status = 'pending'"
        )
        found = await stage.settled(hook)
    assert [one.status for one in found] == ["delivered", "delivered", "failed", "delivered"]
    assert (second, (await stage.state(hook)).enabled) == (first + 1, True)


async def test_a_slow_endpoint_does_not_delay_another(stage: Stage, receiver: Receiver) -> None:
    async with receiving() as slow:
        slow.reply = lambda _: Reply(delay=1.5)
        await stage.hook(slow.url())
        await stage.hook(receiver.url())
        async with stage.worker(timeout=1.0):
            started = asyncio.get_running_loop().time()
            await stage.write(*[f"name-{number}" for number in range(20)])
            await receiver.got(20)
            assert asyncio.get_running_loop().time() - started < 1.5
            assert slow.most_at_once <= working.PER_ENDPOINT


@pytest.mark.parametrize(
    "answer",
    [b"\0\xff\r\n\r\n", b"HTTP/1.1 2\0\xff0 OK\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000],
)
async def test_an_answer_that_is_no_http_is_a_failure_like_any_other(stage: Stage, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    hook, _ = await stage.hook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with stage.worker():
        await stage.write("a")
        await stage.until(lambda: _failing(stage, hook))
    [delivery] = await stage.deliveries(hook)
    assert delivery.error
    assert delivery.response_status is None
    server.close()


async def test_an_answer_that_takes_too_long_is_a_failure(stage: Stage, receiver: Receiver) -> None:
    hook, _ = await stage.hook(receiver.url())
    replies = iter([Reply(delay=5), Reply()])
    receiver.reply = lambda _: next(replies)
    async with stage.worker(timeout=0.3):
        await stage.write("a")
        await stage.until(lambda: _failing(stage, hook))
        [delivery] = await stage.deliveries(hook)
        assert delivery.error == "no answer within 0.3 s"
        await receiver.got(2)
        await stage.settled(hook)


async def test_events_of_one_name_stay_in_order_while_others_go_on(stage: Stage, receiver: Receiver) -> None:
    hook, _ = await stage.hook(receiver.url())
    refused = {"skill/a": 3}

    def reply(request: Received) -> Reply:
        left = refused.get(request.subject, 0)
        refused[request.subject] = left - 1
        return Reply(500 if left > 0 else 200, delay=0.02)

    receiver.reply = reply
    async with stage.worker(schedule=Schedule(first_pause=0.3, factor=1, max_pause=1)):
        a1, b1, a2, b2, c1 = await stage.write("a", "b", "a", "b", "c")
        await stage.settled(hook)
    order = receiver.positions
    of_a = [position for position in order if position in (a1, a2)]
    assert of_a == [a1, a1, a1, a1, a2]
    assert [position for position in order if position in (b1, b2)] == [b1, b2]
    assert max(order.index(b2), order.index(c1)) < len(order) - 1 - order[::-1].index(a1), (
        "b and c did not wait"
    )
    assert receiver.most_at_once > 1


async def test_both_secrets_sign_during_a_rotation(stage: Stage, receiver: Receiver) -> None:
    hook, first = await stage.hook(receiver.url())
    async with stage.worker():
        second, until = await webhooks.rotate_secret(
            stage.conn, SEALER, hook.id, stage.project_id, seconds=3600
        )
        assert until is not None
        assert timedelta(minutes=59) < until - datetime.now(UTC) < timedelta(minutes=61)
        await stage.write("a")
        [both] = await receiver.got(1)
        both.verify(first)
        both.verify(second)
        third, _ = await webhooks.rotate_secret(stage.conn, SEALER, hook.id, stage.project_id, seconds=0)
        await stage.write("a")
        last = (await receiver.got(2))[1]
    last.verify(third)
    for ended in (first, second):
        with pytest.raises(WebhookVerificationError):
            last.verify(ended)


async def test_redeliver_and_replay_repeat_with_the_old_ids(stage: Stage, receiver: Receiver) -> None:
    hook, _ = await stage.hook(receiver.url(), names="skill/a*")
    async with stage.worker():
        first, _, third, _, fifth = await stage.write("a", "b", "a", "b", "ab")
        found = await stage.settled(hook)
        again = await webhooks.redeliver(stage.conn, hook.id, found[0].id)
        assert (again.cause, again.status, again.position) == ("redelivery", "pending", first)
        await receiver.got(4)
        await stage.settled(hook)
        await webhooks.replay(stage.conn, hook.id, first=first + 1, last=fifth)
        await receiver.got(6)
        found = await stage.settled(hook)
    assert sorted(receiver.positions[:3]) == [first, third, fifth]
    assert receiver.positions[3] == first
    assert sorted(receiver.positions[4:]) == [third, fifth]
    assert [one.cause for one in found] == ["event", "event", "event", "redelivery", "replay", "replay"]
    assert {request.id for request in receiver.requests} == {f"evt_{p}" for p in (first, third, fifth)}


async def test_a_long_replay_goes_page_by_page(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "BATCH", 7)
    monkeypatch.setattr(working, "MAX_PENDING", 10)
    monkeypatch.setattr(working, "LOOK_EVERY", 2)
    written = await stage.write(*["a", "b", "c"] * 10)
    hook, _ = await stage.hook(receiver.url())
    await webhooks.replay(stage.conn, hook.id, first=1, last=written[-1])
    async with stage.worker():
        await receiver.got(30)
        await stage.settled(hook)
    assert sorted(receiver.positions) == written
    assert await webhooks.next_replay(stage.conn, hook.id) is None


async def test_a_worker_that_dies_at_any_moment_loses_nothing_and_keeps_the_order(
    stage: Stage, receiver: Receiver
) -> None:
    hook, _ = await stage.hook(receiver.url())
    receiver.reply = lambda _: Reply(delay=0.01)
    history = History(3, projects=(stage.project_id,))

    async def write() -> None:
        for _ in range(80):
            await stage.appender.append(history.next())
            await asyncio.sleep(0.005)

    writing = asyncio.create_task(write())
    while not writing.done():
        async with stage.worker():
            await asyncio.sleep(0.2)
            # Connections are cut, too: the leader's, and those of the pool.
            await stage.conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name IN ('skald-webhooks', 'skald-api') "
                "AND random() < 0.5"
            )
            await asyncio.sleep(0.05)
    await writing
    async with stage.worker():

        async def all_sent() -> bool:
            state = await stage.state(hook)
            return state.position >= 80 and state.pending == 0

        await stage.until(all_sent, timeout=20)
    items, _ = await feed.page(stage.conn, stage.project_id, after=0, limit=1000)
    expected = {item.recorded.position: f"{item.kind}/{item.name}" for item in items}
    assert set(receiver.positions) == set(expected)
    for subject in set(expected.values()):
        seen = list(dict.fromkeys(p for p in receiver.positions if expected[p] == subject))
        assert seen == sorted(seen)


async def test_a_worker_that_is_told_to_stop_waits_for_the_answers(stage: Stage, receiver: Receiver) -> None:
    hook, _ = await stage.hook(receiver.url())
    receiver.reply = lambda _: Reply(delay=0.5)
    async with stage.worker():
        await stage.write("a", "b", "c")
        await receiver.got(3)
    assert [one.status for one in await stage.deliveries(hook)] == ["delivered"] * 3


async def test_what_is_deleted_or_switched_off_is_not_called(stage: Stage, receiver: Receiver) -> None:
    gone, _ = await stage.hook(receiver.url("/gone"))
    off, _ = await stage.hook(receiver.url("/off"))
    async with stage.worker():
        await stage.write("a")
        await receiver.got(2)
        await stage.settled(off)
        await webhooks.delete(stage.conn, gone.id, stage.project_id)
        await webhooks.change(stage.conn, off.id, stage.project_id, {"enabled": False})
        await asyncio.sleep(0.7)
        await stage.write("b")
        await asyncio.sleep(0.7)
        await receiver.got(2)


async def test_a_redirect_is_a_failure_and_not_followed(stage: Stage, receiver: Receiver) -> None:
    async with receiving() as target:
        hook, _ = await stage.hook(receiver.url())
        receiver.reply = lambda _: Reply(307, headers={"location": target.url()})
        async with stage.worker():
            await stage.write("a")
            await stage.until(lambda: _failing(stage, hook))
        [delivery] = await stage.deliveries(hook)
        assert "redirects are not followed" in (delivery.error or "")
        assert target.requests == []


async def test_the_log_of_deliveries_is_bounded(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, _ = await stage.hook(receiver.url())
    async with stage.worker():
        await stage.write(*["a"] * 6)
        await stage.settled(hook)
    await stage.conn.execute(
        "UPDATE webhook_deliveries SET created_at = now() - interval '31 days' WHERE position = 1"
    )
    await stage.conn.execute("UPDATE webhook_deliveries SET status = 'pending' WHERE position = 2")
    monkeypatch.setattr(webhooks, "KEEP_DELIVERIES", 3)
    await webhooks.sweep(stage.conn)
    assert [one.position for one in await stage.deliveries(hook)] == [2, 4, 5, 6]


async def test_secrets_are_sealed_in_the_database(stage: Stage) -> None:
    hook, secret = await stage.hook("https://example.com/")
    [sealed] = await webhooks.sealed_secrets(stage.conn, hook.id)
    assert secret.encode() not in sealed
    assert secret.startswith("whsec_")
    assert SEALER.open(sealed) == secret
    assert (
        Sealer(["another key of enough characters..", "0123456789abcdef0123456789abcdef"]).open(sealed)
        == secret
    )


def test_a_service_of_its_own_makes_the_key_that_seals(start_service: StartService) -> None:
    service = start_service("--workers=1", env={"SKALD_WEBHOOK_ALLOW_PRIVATE": "1"})
    file = service.data_dir / "secret-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = subprocess.run(
        [*SKALD, "key", "create", "--user", "owner@skald.local", "--all-projects", "--scope", "*", "--json", f"--data-dir={service.data_dir}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    key = json.loads(made.stdout)["key"]
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            Signer(secret).verify(body, dict(self.headers))
            got.append(body)
            self.send_response(204)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"{service.address}/api/projects/1"
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=20) as client:
            answer = client.post(f"{base}/webhooks/", json={"url": f"http://127.0.0.1:{server.server_port}/"})
            secret = answer.raise_for_status().json()["secret"]
            skill = {"name": "pdf", "description": "d", "body": "# Body\n"}
            client.post(f"{base}/llm_skills/", json=skill).raise_for_status()
        eventually(lambda: len(got) == 1, f"the event arrives\n{service.output}")
        server.shutdown()
    assert file.read_text().strip() not in service.output
    assert secret not in service.output


# Where requests may go -------------------------------------------------------------------------------------------


def _resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Let names mean addresses, as a hostile name server would."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host in names:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "inner.test",
    ],
)
async def test_private_addresses_are_not_connected_to(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    _resolve(monkeypatch, {"inner.test": ["127.0.0.1", "10.0.0.1", "169.254.169.254"]})
    async with open_client(allow_private=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(receiver.url(host=host))
    assert receiver.requests == []


async def test_a_refused_address_shows_in_the_log_of_deliveries(stage: Stage, receiver: Receiver) -> None:
    hook, _ = await stage.hook(receiver.url(host="localhost"))
    async with stage.worker(allow_private=False):
        await stage.write("a")
        await stage.until(lambda: _failing(stage, hook))
    [delivery] = await stage.deliveries(hook)
    assert "private" in (delivery.error or "")
    assert delivery.response_status is None
    assert receiver.requests == []


async def test_the_checked_address_is_the_one_that_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Answers(dict[str, list[str]]):
        def __getitem__(self, host: str) -> list[str]:
            asked.append(host)
            return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    _resolve(monkeypatch, Answers({"rebinding.test": []}))
    backend = CheckedBackend(allow_private=False)
    connected: list[str] = []

    async def connect_tcp(host: str, *args: Any, **options: Any) -> Any:
        connected.append(host)
        raise Forbidden("far enough")

    monkeypatch.setattr(backend._inner, "connect_tcp", connect_tcp)
    with pytest.raises(Forbidden):
        await backend.connect_tcp("rebinding.test", 80)
    assert (asked, connected) == (["rebinding.test"], ["8.8.8.8"])


async def test_a_name_server_that_does_not_answer_keeps_one_thread(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, real, asked = threading.Event(), socket.getaddrinfo, []

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host == "silent.test":
            asked.append(host)
            released.wait(20)
            raise socket.gaierror("no answer")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    silent, _ = await stage.hook(receiver.url(host="silent.test"))
    await stage.hook(receiver.url(host="localhost"))
    try:
        async with stage.worker(timeout=0.2):
            await stage.write(*[f"name-{number}" for number in range(12)])
            await receiver.got(12)
            await stage.until(lambda: _failing(stage, silent))
            await asyncio.sleep(0.5)
            assert asked == ["silent.test"]
    finally:
        released.set()
    assert {one.error for one in await stage.deliveries(silent)} <= {"no answer within 0.2 s", None}


async def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        async with open_client(allow_private=True) as client:
            assert (await client.post(receiver.url())).status_code == 200
        assert proxy.requests == []


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's context with a certificate of its own for the name; the certificate is in ``folder``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def test_tls_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, {"hooks.test": ["127.0.0.1"], "others.test": ["127.0.0.1"]})
    served = _certificate(tmp_path, "hooks.test")
    asked: list[str | None] = []
    served.sni_callback = lambda _, name, __: asked.append(name)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    async with receiving(tls=served) as secure, open_client(allow_private=True, verify=trusted) as client:
        answer = await client.post(secure.url(host="hooks.test", scheme="https"))
        assert answer.status_code == 200
        assert secure.requests[0].headers["host"] == f"hooks.test:{secure.port}"
        with pytest.raises(httpx.ConnectError):
            await client.post(secure.url(host="others.test", scheme="https"))
        assert asked == ["hooks.test", "others.test"]


async def test_deliveries_of_one_database_are_led_by_one_worker(stage: Stage, receiver: Receiver) -> None:
    await stage.hook(receiver.url())
    async with stage.worker(), stage.worker():
        await stage.write(*["a", "b"] * 5)
        await receiver.got(10)
        await asyncio.sleep(0.2)
        await receiver.got(10)
    with psycopg.connect(stage.url) as conn:
        row = conn.execute("SELECT position FROM checkpoints WHERE follower = 'webhooks'").fetchone()
    assert row == (10,)
