"""Tells endpoints of a project's events by HTTP: at least once, in the order of each subject, with a stable id.

Each endpoint is a task of its own with its own position in the log, so none waits for another. The task writes a delivery
for every event that passes the filters, in one transaction with the position; then it sends what is pending, the first of each
subject, several subjects at a time. A delivery stays pending until its outcome is written, so a crash repeats it.
"""

import asyncio
import heapq
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from time import monotonic
from uuid import UUID
from weakref import WeakValueDictionary

import httpx
import msgspec
import psycopg
from standardwebhooks import Webhook as Signer

from domain.webhooks import Schedule, matches
from projections.events import feed
from projections.events.cloudevents import cloudevent_json, subject_of, topic_of, type_of
from store.log.log import head
from store.postgres.connection import Connection
from store.postgres.pool import Pool, open_pool
from store.tables import webhooks as store
from store.tables.sealing import CannotOpen, Sealer
from store.tables.webhooks import Attempt, Delivery, Moved, Replay, Webhook
from workers.event_buffer import EventBuffer
from workers.follower import REPORT_EVERY, Leader, park
from workers.outbound import open_client
from workers.task import POLL

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/cloudevents+json"
MAX_PENDING = 5000  # of one endpoint; beyond it the log is the better queue
BATCH = 500
LOOK_EVERY = 100  # attempts, while there is no room for more deliveries
PER_ENDPOINT = 4  # subjects that are sent at the same time
PER_PROJECT = 32  # requests of the endpoints of one project together; the others of it wait for their turn
MAX_CONCURRENT = (
    512  # requests of all endpoints together: those of 16 projects whose endpoints all answer late
)
POOL = 4
POOL_TIMEOUT = 30.0  # seconds
RETRY = 1.0  # seconds after the database failed an endpoint's task; doubled each time up to
MAX_RETRY = 30.0
IDLE = 60.0  # seconds after which an endpoint looks by itself
SWEEP_EVERY = 600.0
STOP_TIMEOUT = 5.0  # seconds that requests under way have when the worker stops
GONE = 410
MAX_ERROR = 500  # characters

SELECT_PROJECTS = "SELECT DISTINCT project_id FROM events WHERE position > %s AND project_id IS NOT NULL"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How endpoints are called. ``timeout``: seconds for one attempt as a whole, from name to answer. ``base``: the public
    address of the service, if it is known.
    """

    schedule: Schedule = Schedule()
    timeout: float = 10.0
    allow_private: bool = False
    base: str = ""


class WebhookFollower(Leader):
    """All endpoints; the lag that it reports is that of noticing, not of sending."""

    name = "webhooks"

    def __init__(
        self, news: EventBuffer, database_url: str, sealer: Sealer, options: Options | None = None
    ) -> None:
        super().__init__(news)
        self._dsn = database_url
        self._sealer = sealer
        self._options = options or Options()

    async def _follow(self, conn: Connection, stop: asyncio.Event) -> None:
        pool = await open_pool(self._dsn, size=POOL, timeout=POOL_TIMEOUT)
        client = open_client(allow_private=self._options.allow_private)
        sender = Sender(pool, client, self._sealer, self._options)
        running: dict[UUID, Endpoint] = {}
        try:
            await self._tend(conn, stop, running, sender)
        finally:
            # A requested stop leaves time for deliveries; the loss of the leader's lock leaves none.
            timeout = STOP_TIMEOUT if stop.is_set() else 0.0
            await asyncio.gather(*(endpoint.end(timeout) for endpoint in running.values()))
            if stop.is_set():
                await sender.write_totals(conn, last=True)
            await client.aclose()
            await pool.close()

    async def _tend(
        self, conn: Connection, stop: asyncio.Event, running: "dict[UUID, Endpoint]", sender: "Sender"
    ) -> None:
        seen, swept, looked = await head(conn), -SWEEP_EVERY, -POLL
        changes: set[str] | None = None
        wanted: dict[UUID, int] = {}
        history = self.news.history.begins
        while not stop.is_set():
            if changes != set() or monotonic() - looked >= POLL:
                looked = monotonic()
                wanted = await store.enabled(conn)
                for webhook_id in running.keys() - wanted.keys():
                    await running.pop(webhook_id).end()
                for webhook_id in wanted.keys() - running.keys():
                    running[webhook_id] = Endpoint(webhook_id, sender)
            changed = set(wanted) if changes is None else set(map(UUID, changes))
            seen, projects = await self._look(conn, seen)
            changed |= {webhook_id for webhook_id, project_id in wanted.items() if project_id in projects}
            if (begins := self.news.history.begins) != history:
                changed, history = changed | set(wanted), begins
            for webhook_id in changed & running.keys():
                running[webhook_id].wake()
            await self._report(conn, seen)
            await sender.write_totals(conn)
            if monotonic() - swept >= SWEEP_EVERY:
                await store.sweep(conn)
                swept = monotonic()
            if self.news.changes == set():
                await self.news.wait(seen, POLL)
            changes = self.news.drain_webhook_changes()
        await self._report(conn, seen, last=True)

    async def _look(self, conn: Connection, seen: int) -> tuple[int, set[int | None]]:
        """How far the log is, and the projects that have events after ``seen``."""
        if events := self.news.after(seen):
            return events[-1].position, {event.project_id for event in events}
        if (end := await head(conn)) == seen:
            return seen, set()
        rows = await (await conn.execute(SELECT_PROJECTS, (seen,))).fetchall()
        return end, {row[0] for row in rows}


class Endpoint:
    """The task of one webhook, from its making until ``end``."""

    def __init__(self, webhook_id: UUID, sender: "Sender") -> None:
        self.id = webhook_id
        self._sender = sender
        self._news = asyncio.Event()
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._timeout = 0.0
        self._ending = False
        # As they were at the last look: the webhook unless it is off, and the first delivery of each subject with its time.
        self._webhook: Webhook | None = None
        self._heads: dict[str, tuple[Delivery, float]] = {}
        # Whether there is more to take in, and room for it.
        self._behind = True
        self._room = True
        self._tried = 0
        self._task = asyncio.create_task(self._run(), name=f"webhook-{webhook_id}")

    def wake(self) -> None:
        """There may be something new: an event, a change, a delivery to repeat."""
        self._news.set()

    async def end(self, timeout: float = 0.0) -> None:
        """Stop; what is under way has ``timeout`` seconds, and is repeated later if that was not enough."""
        self._timeout = timeout
        # A wait for a connection may lose the cancellation, by the wait_for of Python 3.11.
        self._ending = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = RETRY
        while True:
            started = monotonic()
            try:
                return await self._serve()
            except (psycopg.Error, OSError) as error:
                logger.warning(
                    "webhook %s has to wait: %s",
                    self.id,
                    (str(error) or type(error).__name__).splitlines()[0],
                )
            except Exception:
                logger.exception("webhook %s has to wait", self.id)
            finally:
                await self._drop()
            pause = RETRY if monotonic() - started > MAX_RETRY else min(pause * 2, MAX_RETRY)
            await asyncio.sleep(pause)

    async def _serve(self) -> None:
        """Take in and send until the end. Raises what a send raised, which is never the endpoint's fault."""
        self._behind = True
        while not self._ending:
            finished = [subject for subject, task in self._in_flight.items() if task.done()]
            for subject in finished:
                self._in_flight.pop(subject).result()
            self._tried += len(finished)
            if self._news.is_set() or (self._behind and (self._room or self._tried >= LOOK_EVERY)):
                self._news.clear()
                self._tried = 0
                await self._look()
            elif finished:
                await self._renew(finished)
            wait = 0.0 if self._behind and self._room else self._start()
            news = asyncio.create_task(self._news.wait())
            try:
                done, _ = await asyncio.wait(
                    {news, *self._in_flight.values()}, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                news.cancel()
            if wait == IDLE and not done:
                self._news.set()

    async def _look(self) -> None:
        """See how the webhook is set now, take in a page of events if there is room for one, and find out what is pending."""
        async with self._sender.pool.connection() as conn:
            webhook = await store.load(conn, self.id)
            if webhook is None or not webhook.enabled:
                self._webhook, self._heads, self._behind = None, {}, False
                return
            room = MAX_PENDING - webhook.pending
            # Not one by one as they are sent.
            self._room = room > MAX_PENDING // 2
            self._behind = await take_in(conn, webhook, min(room, BATCH)) if self._room else True
            self._webhook = webhook
            self._heads = _due(await store.heads(conn, self.id))

    async def _renew(self, subjects: list[str]) -> None:
        """Load the next delivery of each subject of which one was tried; every other change comes with a notification."""
        async with self._sender.pool.connection() as conn:
            found = _due(await store.heads(conn, self.id, subjects))
        for subject in subjects:
            self._heads.pop(subject, None)
        self._heads.update(found)

    def _start(self) -> float:
        """Start due deliveries as far as there are places; return the seconds until the next is due."""
        now, rest = monotonic(), IDLE
        if self._webhook is None:
            return rest
        waiting = [
            (due, delivery.position, subject)
            for subject, (delivery, due) in self._heads.items()
            if subject not in self._in_flight
        ]
        for due, _, subject in heapq.nsmallest(PER_ENDPOINT, waiting):
            if due > now:
                return min(rest, due - now)
            if len(self._in_flight) == PER_ENDPOINT:
                break
            self._in_flight[subject] = asyncio.create_task(self._try(self._webhook, self._heads[subject][0]))
        return rest

    async def _try(self, webhook: Webhook, delivery: Delivery) -> None:
        if not await self._sender.send(webhook, delivery):
            self.wake()

    async def _drop(self) -> None:
        if self._in_flight and self._timeout:
            await asyncio.wait(self._in_flight.values(), timeout=self._timeout)
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
        self._in_flight.clear()


def _due(heads: list[tuple[Delivery, float]]) -> dict[str, tuple[Delivery, float]]:
    """By subject, with the time of the monotonic clock."""
    now = monotonic()
    return {delivery.subject: (delivery, now + wait if wait > 0 else 0.0) for delivery, wait in heads}


async def take_in(conn: Connection, webhook: Webhook, limit: int) -> bool:
    """Write the next deliveries of a webhook, of the log or of a replay; whether there are more to write now."""
    replay = await store.next_replay(conn, webhook.id)
    try:
        if replay is not None:
            await _take_page(conn, webhook, limit, replay.position, replay)
            return True
        position = await _take_page(conn, webhook, limit, webhook.position, None)
    except Moved:
        return True
    return position < await head(conn)


async def _take_page(
    conn: Connection, webhook: Webhook, limit: int, after: int, replay: Replay | None
) -> int:
    topics = [topic for type_ in webhook.types if (topic := topic_of(type_)) is not None]
    items, complete = await feed.page(
        conn, webhook.project_id, after=after, limit=limit, topics=topics if webhook.types else None
    )
    last = complete if replay is None else replay.last_position
    events = []
    for item in items:
        try:
            type_, subject = type_of(item.recorded.topic), subject_of(item.kind, item.name)
        except Exception as error:
            logger.exception("parked event %d (%s)", item.recorded.position, item.recorded.topic)
            await park(conn, WebhookFollower.name, item.recorded, f"{type(error).__name__}: {error}")
            continue
        # That the log went back goes to every endpoint, whatever its filter takes.
        wanted = item.kind == feed.LOG or matches(webhook.types, webhook.names, type_, subject)
        if item.recorded.position <= last and wanted:
            events.append((item.recorded.position, subject, type_))
    if complete > after or replay is not None:
        # A replay of what lies beyond the log ends where the log does.
        position = last if replay is not None and len(items) < limit else min(complete, last)
        await store.take_in(conn, webhook, events, position, replay)
    return complete


class Sender:
    """Makes attempts and writes down what came of them; shared by all endpoints."""

    def __init__(
        self,
        pool: Pool,
        client: httpx.AsyncClient,
        sealer: Sealer,
        options: Options,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.pool = pool
        self._client = client
        self._sealer = sealer
        self._options = options
        self._chance = chance
        self._places = asyncio.Semaphore(MAX_CONCURRENT)
        # Attempts that are not in the totals yet: a row of all endpoints would be locked by each of them in turn.
        self._outcomes: Counter[store.Outcome] = Counter()
        self._written_at = -inf
        # Of the projects that have something under way.
        self._places_of: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    async def send(self, webhook: Webhook, delivery: Delivery) -> bool:
        """One attempt, and its consequences. False when it was the last one: the webhook is off now."""
        # The place in the project first: what waits for that takes none from the others.
        async with self._project_places(webhook.project_id), self._places:
            async with self.pool.connection() as conn:
                item = await feed.one(conn, webhook.project_id, delivery.position)
                sealed = await store.sealed_secrets(conn, webhook.id)
            try:
                if item is None:
                    raise LookupError("the event is not in the feed of this project")
                body = cloudevent_json(item.recorded, item.kind, item.name, self._options.base, item.history)
                secrets = [self._sealer.open(one) for one in sealed]
            except CannotOpen as error:
                # Everything waits until the right key is there; no endpoint has failed.
                raise OSError(str(error)) from error
            except Exception as error:
                logger.exception("event %d cannot be delivered to webhook %s", delivery.position, webhook.id)
                reason = _printable(f"cannot be sent: {error}")
                attempt = Attempt(started_at=datetime.now(UTC), duration_ms=0, error=reason)
                await self._record(delivery, attempt, status="failed")
                if item is not None:
                    async with self.pool.connection() as conn:
                        await park(conn, WebhookFollower.name, item.recorded, reason)
                return True
            attempt = await self._attempt(webhook.url, f"evt_{delivery.position}", body, secrets)
        return await self._conclude(delivery, attempt)

    def _project_places(self, project_id: int) -> asyncio.Semaphore:
        places = self._places_of.get(project_id)
        if places is None:
            places = self._places_of[project_id] = asyncio.Semaphore(PER_PROJECT)
        return places

    async def _attempt(self, url: str, message_id: str, body: bytes, secrets: list[str]) -> Attempt:
        started, clock = datetime.now(UTC), monotonic()
        text = body.decode()
        signatures = [Signer(secret).sign(message_id, started, text) for secret in secrets]
        headers = {
            "content-type": MEDIA_TYPE,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(started.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        status: int | None = None
        kept = b""
        error: str | None = None
        retry_after: float | None = None
        try:
            async with (
                asyncio.timeout(self._options.timeout),
                self._client.stream("POST", url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
                retry_after = _seconds(answer.headers.get("retry-after"))
                if not answer.is_success:
                    error = f"answered {status}"
                    if answer.is_redirect:
                        error += "; redirects are not followed"
                async for part in answer.aiter_raw(store.KEEP_ANSWER):
                    kept += part
                    if len(kept) >= store.KEEP_ANSWER:
                        break
        except TimeoutError:
            # The status decides: a receiver that has said 2xx has the event, however slowly the rest of its answer comes.
            if status is None:
                error = f"no answer within {self._options.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as failure:
            if status is None:
                error = _printable(f"{type(failure).__name__}: {failure}")
        return Attempt(
            started_at=started,
            duration_ms=round((monotonic() - clock) * 1000),
            status=status,
            body=kept[: store.KEEP_ANSWER] if status is not None else None,
            error=error,
            retry_after=retry_after,
        )

    async def _conclude(self, delivery: Delivery, attempt: Attempt) -> bool:
        schedule = self._options.schedule
        if attempt.error is None:
            await self._record(delivery, attempt, status="delivered")
            return True
        if attempt.status == GONE:
            await self._record(delivery, attempt, status="failed")
            await self._disable(delivery.webhook_id, "The endpoint answered 410 Gone.")
            return False
        first = delivery.first_at or attempt.started_at
        gives_up = schedule.gives_up(attempt.started_at - first)
        pause = schedule.pause(delivery.attempts + 1, self._chance())
        if attempt.retry_after is not None:
            pause = max(pause, min(attempt.retry_after, schedule.max_pause))
        since = await self._record(delivery, attempt, status="failed" if gives_up else "pending", pause=pause)
        if since is None or not schedule.gives_up(attempt.started_at - since):
            return True
        await self._disable(
            delivery.webhook_id,
            f"Every attempt since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} has failed; the last one: {attempt.error}.",
        )
        return False

    async def _record(
        self, delivery: Delivery, attempt: Attempt, *, status: store.Status, pause: float = 0.0
    ) -> datetime | None:
        async with self.pool.connection() as conn:
            since = await store.record(conn, delivery, attempt, status=status, pause=pause)
        self._outcomes["retry" if status == "pending" else status] += 1
        return since

    async def write_totals(self, conn: Connection, *, last: bool = False) -> None:
        """Write what came of the attempts, now and then and at the ``last``."""
        if self._outcomes and (last or monotonic() - self._written_at >= REPORT_EVERY):
            outcomes, self._outcomes, self._written_at = self._outcomes, Counter(), monotonic()
            await store.add_totals(conn, outcomes)

    async def _disable(self, webhook_id: UUID, reason: str) -> None:
        logger.warning("webhook %s is switched off: %s", webhook_id, reason)
        async with self.pool.connection() as conn:
            await store.disable(conn, webhook_id, reason)


def _printable(text: str) -> str:
    """What came from outside as a text that the database takes."""
    return text[:MAX_ERROR].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _seconds(retry_after: str | None) -> float | None:
    """A ``Retry-After`` in seconds; its form as a date is rare, and the schedule is good enough then."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
