"""What an API process has: opened once by ``api.app``, and the same for every request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litestar.connection import ASGIConnection

if TYPE_CHECKING:
    # Their names alone: each package reaches what it uses, and none the others.
    from api.access.authorize import Authorizer
    from api.cache.checkpoints import Checkpoints
    from api.cache.log_follower import LogFollower
    from api.cache.reader import RepresentationCache
    from api.cache.reads import Reads
    from api.commands.execute import Commands
    from api.counting.reads import ReadCounter
    from api.http.proxies import PublicAddress
    from api.mcp.endpoint import McpEndpoint
    from api.server.health import Health
    from api.sharing.well_known import Discovery
    from domain.formats.archives import Limits
    from projections.git.history import Histories
    from store.postgres.pool import Pool
    from store.tables.sealing import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """``heartbeat`` is in seconds; ``sealer`` is None while webhooks cannot be made."""

    pool: "Pool"
    reads: "Reads"
    log_follower: "LogFollower"
    checkpoints: "Checkpoints"
    authorizer: "Authorizer"
    reader: "RepresentationCache"
    read_counter: "ReadCounter"
    commands: "Commands"
    public_address: "PublicAddress"
    health: "Health"
    discovery: "Discovery"
    histories: "Histories"
    mcp: "McpEndpoint"
    sealer: "Sealer | None"
    archive_limits: "Limits"
    webhook_allow_private: bool
    heartbeat: float
    sdk_text_only: bool


# RESULTS.md: "services as an attribute of the application"
def services(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """What the process that answers this request has: an attribute of ``api.server.application``."""
    found: Services = connection.scope["litestar_app"].services  # type: ignore[attr-defined]
    return found
