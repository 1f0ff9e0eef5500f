"""Wires the rooms together once: the ASGI application of one API process."""

import asyncio
import gc
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from litestar.template.config import TemplateConfig
from redis.asyncio import Redis

import projections
import store
from api.access.attempts import FailedAttempts
from api.access.authenticate import Authenticator
from api.access.authorize import Authorizer
from api.access.me import IdentityController
from api.access.organizations import OrganizationsController
from api.access.rate_limit import RateLimiter
from api.activity.controller import ActivityController
from api.apm.controller import HANDLERS as APM
from api.artifacts.common import follow_rename
from api.cache.checkpoints import Checkpoints
from api.cache.log_follower import LogFollower
from api.cache.outage import Outage
from api.cache.positions import ALL_STREAMS, StreamPositions
from api.cache.reader import RepresentationCache
from api.cache.reads import REPLICAS, Reads
from api.cache.shared_memory import SharedMemoryCache
from api.clawhub.controller import ClawHubController, report_install, whoami
from api.clawhub.controller import well_known as clawhub
from api.clawhub.publishing import ClawHubPublishingController
from api.commands.execute import Commands
from api.commands.locks import RunningCommands
from api.commands.repository import Repository
from api.config import GC_THRESHOLD, ApiConfig
from api.counting.reads import ReadCounter
from api.events.audit import AuditController
from api.events.controller import EventSchemaController, FeedController
from api.fast.hot import FastPathMiddleware, On
from api.git.shared import SharedGitController
from api.governance.mirror import MirrorController
from api.governance.policies import LabelPoliciesController
from api.governance.promotions import PromotionsController
from api.http.errors import EXCEPTION_HANDLERS
from api.http.proxies import PublicAddress, SubPath, TrustedProxies
from api.kinds import KINDS
from api.mcp.endpoint import McpEndpoint, mcp_endpoint
from api.openapi.home import HomeController
from api.openapi.reference import ReferenceController
from api.sdk import errors as sdk_errors
from api.sdk.controller import SdkSkillsController
from api.search.controller import SearchController, SkillSearchController
from api.server import metrics as measuring
from api.server.admission import Admission
from api.server.application import Application
from api.server.compression import Compression
from api.server.cors import Cors
from api.server.health import DATABASE_TIMEOUT, PROBES, Health, HealthController
from api.server.logs import set_up_logging
from api.server.observability import AccessLog, Observability
from api.server.options import Options
from api.server.shutdown import when_told_to_end
from api.server.stale import StaleReads
from api.server.tracing import TracedAppender, TracedRequests, Tracing, open_tracing
from api.services import Services
from api.sharing.controller import ShareTokens
from api.sharing.well_known import HANDLERS as DISCOVERY
from api.sharing.well_known import Discovery
from api.usage.controller import UsageController, usage_controller
from api.users.controller import UsersController
from api.webhooks.controller import WebhooksController
from domain.errors import NameChanged
from domain.formats.archives import Limits
from projections.git.history import Histories
from projections.read import kinds
from projections.redis.client import open_redis
from projections.redis.views import RedisViews
from store.log.appender import Appender
from store.log.history import LogHistory
from store.log.turn import HostTurn
from store.postgres.pool import Pool, open_pool
from store.postgres.room import Room
from store.tables.readiness import not_run
from store.tables.sealing import sealer_of

# Files that all processes of a host share, see ``prepare``.
# Files in the run folder; the first has the name that processes of earlier releases on the host map, too.
POSITIONS, COMMANDS = "positions", "commands"

REDIS_CONNECTIONS = 64  # of one process; what comes meanwhile goes on without Redis
MIGRATIONS = [Path(room.__file__ or "").parent / "migrations" for room in (store, projections)]
RESOURCES: tuple[Any, ...] = (
    *(controller for kind in KINDS.values() for controller in kind.controllers),
    FeedController,
    AuditController,
    ActivityController,
    LabelPoliciesController,
    MirrorController,
    PromotionsController,
    SearchController,
    SkillSearchController,
    UsageController,
    *(usage_controller(kind.aggregate) for kind in KINDS.values()),
    WebhooksController,
    SdkSkillsController,
    mcp_endpoint,
)


class Pages(msgspec.Struct, frozen=True):
    """What another room serves beside the API; its exception handlers answer where no route is found, so for the API, too."""

    route_handlers: Sequence[Any]
    templates: TemplateConfig[Any]
    exception_handlers: dict[int | type[Exception], Any]


def route_handlers() -> list[Any]:
    """Everything that is served, at its address."""
    return [
        HomeController,
        HealthController,
        IdentityController,
        OrganizationsController,
        UsersController,
        ReferenceController,
        *DISCOVERY,
        *APM,
        clawhub,
        whoami,
        ClawHubController,
        ClawHubPublishingController,
        report_install,
        SharedGitController,
        EventSchemaController,
        mcp_endpoint,
        *(
            Router(path=f"/api/{prefix}/{{project_id:str}}", route_handlers=list(RESOURCES))
            for prefix in ("environments", "projects")
        ),
    ]


def create_app(
    config: ApiConfig,
    shared: SharedMemoryCache | None = None,
    pages: Pages | None = None,
) -> Any:
    """The application; its lifespan opens what it needs and closes it again.

    All processes of a host share ``run_dir``, and those of one master a ``shared`` cache that was made before they were forked.
    ``pages`` are served beside the API. Raises OSError when ``run_dir`` cannot be used.
    """
    set_up_logging(config.log_level)
    metrics = prepare(config.run_dir)
    tracing = open_tracing(config.tracing) if config.tracing is not None else None
    admission = Admission(config.max_in_flight)
    front: FastPathMiddleware | None = None

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if tracing is not None:
                stack.push_async_callback(tracing.close)
            services = litestar.services = await wire(app, config, metrics, stack, shared, tracing)
            if front is not None and config.fast_path:
                front.fast = On(services, metrics, config.max_body_bytes)
            watching = asyncio.create_task(metrics.keep_in_flight(lambda: admission.taken), name="in-flight")
            stack.callback(watching.cancel)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLD)
            with when_told_to_end(services.log_follower.end_waits):
                yield
            services.log_follower.end_waits()

    litestar = Application(
        route_handlers=[*route_handlers(), *(pages.route_handlers if pages else ())],
        template_config=pages.templates if pages else None,
        lifespan=[lifespan],
        exception_handlers={
            **EXCEPTION_HANDLERS,
            NameChanged: follow_rename,
            HTTPException: sdk_errors.anywhere,
            **(pages.exception_handlers if pages else {}),
        },
        request_max_body_size=config.max_body_bytes,
        openapi_config=None,
        logging_config=None,
    )
    routed: Any = StaleReads(litestar) if config.stale_reads else litestar
    front = FastPathMiddleware(Compression(Options(routed)), admission, config.max_body_bytes)
    log = AccessLog() if config.access_log else None
    app: Any = Observability(front, metrics=metrics, log=log, answer_now=front.answer_now)
    if tracing is not None:
        app = TracedRequests(app, tracing)
    return edge(app, config, roots={route.path.split("/")[1] for route in litestar.routes})


def edge(app: Any, config: ApiConfig, *, roots: Collection[str]) -> Any:
    """``app`` behind what only some installations need: without the setting it is not there at all."""
    if config.cors_origins or config.mcp_origins:
        app = Cors(app, api=config.cors_origins, mcp=config.mcp_origins)
    if prefix := urlsplit(config.public_url or "").path:
        app = SubPath(app, prefix, roots)
    return app


def prepare(run_dir: Path) -> measuring.Metrics:
    """Make what the processes of a host share, each if it is not there, and so find out early what is wrong with ``run_dir``."""
    run_dir.mkdir(parents=True, exist_ok=True)
    StreamPositions(run_dir / POSITIONS).close()
    RunningCommands(run_dir / COMMANDS).close()
    return measuring.open_metrics(run_dir / "metrics")


async def wire(
    app: Litestar,
    config: ApiConfig,
    metrics: measuring.Metrics,
    stack: AsyncExitStack,
    shared: SharedMemoryCache | None,
    tracing: Tracing | None = None,
) -> Services:
    """Open everything in order; ``stack`` closes it in the opposite one."""
    positions = StreamPositions(config.run_dir / POSITIONS)
    stack.callback(positions.close)
    pool = await open_pool(config.database_url, size=config.pool_size, timeout=config.pool_timeout)
    stack.push_async_callback(pool.close)
    read_counter = ReadCounter(pool, observe=metrics.observe_reads, lost=metrics.reads_lost.inc)
    read_counter.start()
    stack.push_async_callback(read_counter.close)
    redis = await stack.enter_async_context(redis_of(config)) if config.redis_url else None
    history = LogHistory(began=partial(positions.advance_all, [ALL_STREAMS]))
    log_follower = LogFollower(config.database_url, positions, found_again=pool.check, history=history)
    await log_follower.start()
    stack.push_async_callback(log_follower.close)
    room = Room(config.database_dir)
    turn = HostTurn(config.run_dir)
    stack.callback(turn.close)
    appender = (Appender if tracing is None else partial(TracedAppender, tracing))(
        config.database_url,
        committed=log_follower.committed,
        observe=metrics.observe_append,
        room=room,
        turn=turn,
        history=history,
    )
    await appender.start()
    stack.push_async_callback(appender.close)
    limiter = RateLimiter(
        redis,
        per_minute=config.rate_limit_per_minute,
        per_hour=config.rate_limit_per_hour,
        timeout=config.redis_timeout,
        refused=partial(metrics.observe_rate_limited, "key"),
    )
    limiter.start()
    stack.push_async_callback(limiter.close)
    proxies = TrustedProxies(config.trusted_proxies)
    attempts = FailedAttempts(
        proxies,
        per_minute=config.failed_attempts_per_minute,
        refused=partial(metrics.observe_rate_limited, "address"),
    )
    share_limiter = RateLimiter(
        redis,
        per_minute=config.share_rate_limit_per_minute,
        per_hour=0,
        timeout=config.redis_timeout,
        whose="this share or address",
        refused=partial(metrics.observe_rate_limited, "share"),
    )
    share_limiter.start()
    stack.push_async_callback(share_limiter.close)
    mcp = McpEndpoint(app, allowed_origins=config.mcp_origins)
    stack.push_async_callback(mcp.close)
    # A connection for the probes alone: behind the requests they would tell how long the queue is, and not who is well.
    probes = await open_pool(config.database_url, size=1, timeout=DATABASE_TIMEOUT, limits=PROBES)
    stack.push_async_callback(probes.close)
    sealer = sealer_of(config.secret_keys)
    replicas: Pool | None = None
    if config.read_database_url is not None:
        replicas = await open_pool(
            config.read_database_url, size=config.pool_size, timeout=config.pool_timeout, limits=REPLICAS
        )
        stack.push_async_callback(replicas.close)
    outage: Outage | None = None
    if config.stale_reads:
        outage = Outage(config.database_url, positions, config.stale_reads)
        outage.start()
        stack.push_async_callback(outage.close)
    reads = Reads(pool, replicas, count=metrics.observe_cache, outage=outage)
    stack.push_async_callback(reads.close)
    reader = RepresentationCache(
        pool,
        reads,
        positions,
        RedisViews(redis, timeout=config.redis_timeout) if redis is not None else None,
        kinds.KINDS,
        capacity=config.cache_bytes,
        count=metrics.observe_cache,
        shared=shared,
    )
    commands = Commands(
        pool, appender, Repository(pool, positions), reader, kinds.KINDS, config.run_dir / COMMANDS, positions
    )
    stack.callback(commands.close)
    histories = Histories(pool, left_out=metrics.git_left_out.inc, max_skills=config.git_max_skills)
    stack.push_async_callback(histories.close)
    return Services(
        pool=pool,
        reads=reads,
        log_follower=log_follower,
        checkpoints=Checkpoints(pool, log_follower),
        authorizer=Authorizer(Authenticator(reads, positions), limiter, attempts),
        reader=reader,
        read_counter=read_counter,
        commands=commands,
        public_address=PublicAddress(proxies, config.public_url),
        health=Health(
            pool=pool,
            probes=probes,
            redis=redis,
            migrations=MIGRATIONS,
            metrics=metrics,
            room=room,
            switched_off=not_run(redis=redis is not None, secret_key=sealer is not None),
            appender=appender,
            outage=outage,
        ),
        discovery=Discovery(
            pool,
            reads,
            reader,
            ShareTokens(reads, positions),
            share_limiter,
            proxies,
            attempts,
            config.public_project,
            limit=max(1, config.pool_size // 2),
        ),
        histories=histories,
        mcp=mcp,
        sealer=sealer,
        # Unpacked, an archive may hold what a request may.
        archive_limits=Limits(total_bytes=config.max_body_bytes),
        webhook_allow_private=config.webhook_allow_private,
        heartbeat=config.heartbeat,
        sdk_text_only=config.sdk_text_only,
    )


def redis_of(config: ApiConfig) -> AbstractAsyncContextManager[Redis]:
    """A client that gives up soon: Redis makes the service faster, never slower."""
    assert config.redis_url is not None
    return open_redis(config.redis_url, timeout=config.redis_timeout, max_connections=REDIS_CONNECTIONS)
