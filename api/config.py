"""What an API process needs to know. Reasons for the defaults stand beside them; the environment is read elsewhere."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

MIB = 1024 * 1024

# Young objects die with their request; a full collection of the rest costs milliseconds and finds nothing.
GC_THRESHOLD = (50_000, 20, 1000)


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one API process; all processes of a host get the same ones."""

    database_url: str
    # Replicas of that database, which reads go to as far as they are not behind; None: there are none.
    read_database_url: str | None = None
    # Seconds that an answer may be old while no primary can be reached; 0: reads end with it.
    stale_reads: int = 0
    # None: no shared cache, and rate limits count per process.
    redis_url: str | None = None
    # A folder that all API processes of one host share: the table of positions and the files of the metrics.
    run_dir: Path
    # A folder on the disk of the database, if that is on this host: writes are refused before the disk is full.
    database_dir: Path | None = None

    # Per key; 0 is off. The numbers that clients of this API are built for.
    rate_limit_per_minute: int = 480
    rate_limit_per_hour: int = 4800
    # Per share, and per address that reads the public project: one `npx skills add` fetches each skill by a request of
    # its own, all at once, and a whole team may use one share.
    share_rate_limit_per_minute: int = 6000
    # Wrong keys and share tokens per client address and process; 0 is off. Each costs a query, and a client that is set up
    # right sends none.
    failed_attempts_per_minute: int = 60

    # The project whose skills are read at the origin without a key; None: there is none.
    public_project: int | None = None

    # Whether lists that an SDK asks for leave out prompts that are no text.
    sdk_text_only: bool = False

    # Skills of which a git repository is made at most, see projections/git/history.py.
    git_max_skills: int = 50_000

    # Takes a skill of 30 large files in one request; more than that is better sent file by file.
    max_body_bytes: int = 32 * MIB
    # Addresses or networks (CIDR) whose X-Forwarded-* headers are believed.
    trusted_proxies: tuple[str, ...] = ()
    # Where clients find the service (https://host/skald); None: where the request came, as trusted proxies tell it.
    public_url: str | None = None

    # Encoded answers kept in this process: some ten thousand skills of common size.
    cache_bytes: int = 64 * MIB
    # Requests that one process works on at once; above it they are refused with a 503 (reads from memory are not counted).
    # At a millisecond of CPU each, no admitted request waits much longer than 0.1 s; it also fills the largest batch.
    max_in_flight: int = 128
    # Whether GETs by name from memory, and publishes, go past the framework: a publish takes a fifth less, a warm GET far less.
    fast_path: bool = True
    # Connections of one process. More of them than cores make PostgreSQL slower, not faster.
    pool_size: int = 8
    # Seconds that a request waits for a connection before it is answered 503.
    pool_timeout: float = 5.0
    # Seconds that a request waits for Redis before it goes on without.
    redis_timeout: float = 0.1

    # Seconds of silence after which a stream of events sends a comment: proxies close streams that are idle for 30 and more.
    heartbeat: float = 15.0

    # What the secrets of webhooks are sealed by in the database; without one, webhooks cannot be made.
    secret_keys: tuple[str, ...] = ()
    # Whether webhooks may be at private and loopback addresses.
    webhook_allow_private: bool = False

    # Web pages (scheme://host:port, or * for all) that may use the API from a browser.
    cors_origins: tuple[str, ...] = ()
    # The same for the MCP endpoint; agents are no pages.
    mcp_origins: tuple[str, ...] = ()

    # The variables of OpenTelemetry that its SDK reads, when they ask for traces; None: no traces.
    tracing: Mapping[str, str] | None = None

    # debug, info, warning or error: what of this process's own messages goes to stderr.
    log_level: str = "info"
    # One JSON line a request on stdout.
    access_log: bool = True
