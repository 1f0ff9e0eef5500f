"""Every setting of Skald: its environment variable, type, default and the reason for it.

``Settings.from_env(os.environ)`` is the only reader of the environment. The rooms below take plain parameters.
The variable of a field is ``SKALD_`` and the field's name in capitals; an empty variable counts as unset.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.errors import Failure
from domain.addresses import public_url
from domain.errors import Invalid
from domain.keys import check_scopes
from domain.webhooks import SHORTEST_KEY

PREFIX = "SKALD_"
MASK = "****"
MAX_OIDC_NAME = 60  # characters of the button of the sign-in page

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=1024)]
Seconds = Annotated[float, Meta(gt=0)]
Amount = Annotated[int, Meta(ge=0, le=2**53)]
LogLevel = Literal["debug", "info", "warning", "error"]
StreamReplay = Literal["0", "head"]


class SettingError(Failure):
    """A setting that cannot be used; the message names the variable and what would be right."""

    code = "bad_setting"
    exit_code = 2


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as `skald config` shows it; None: unset."""

    name: str
    variable: str
    value: str | None
    default: str | None
    meaning: str


def default_workers() -> int:
    """One API process per core that this process may run on, at most 4: PostgreSQL needs cores, too."""
    return min(4, len(os.sched_getaffinity(0)))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; see ``MEANINGS`` for what each one does and why it has its default."""

    database_url: str | None = None
    read_database_url: str | None = None
    stale_reads: Amount = 0
    redis_url: str | None = None
    data_dir: Path = Path(".skald")
    host: str = "127.0.0.1"
    port: Port = 8000
    workers: Count = msgspec.field(default_factory=default_workers)
    rate_limit_per_minute: Amount = 480
    rate_limit_per_hour: Amount = 4800
    share_rate_limit_per_minute: Amount = 6000
    failed_attempts_per_minute: Amount = 60
    public_project: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    sdk_text_only: bool = False
    git_max_skills: Amount = 50_000
    max_body_bytes: Annotated[int, Meta(ge=1024, le=2**31)] = 32 * 1024 * 1024
    trusted_proxies: tuple[str, ...] = ()
    public_url: str | None = None
    cache_bytes: Amount = 64 * 1024 * 1024
    max_in_flight: Amount = 128
    fast_path: bool = True
    pool_size: Count = 8
    stream_heartbeat: Seconds = 15.0
    log_level: LogLevel = "info"
    stream_maxlen: Amount = 10_000
    stream_max_bytes: Amount = 16 * 1024 * 1024
    stream_max_total_bytes: Amount = 128 * 1024 * 1024
    stream_replay: StreamReplay = "0"
    secret_key: tuple[str, ...] = ()
    webhook_allow_private: bool = False
    cors_origins: tuple[str, ...] = ()
    mcp_origins: tuple[str, ...] = ()
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = None
    oidc_name: str | None = None
    oidc_groups: tuple[str, ...] = ()
    oidc_groups_claim: str = "groups"
    oidc_scopes: str = "openid profile email"
    oidc_projects: tuple[str, ...] = ()
    oidc_trust_email: bool = False
    postgres_bin: Path | None = None
    valkey_bin: Path | None = None
    run_dir: Path | None = None
    database_dir: Path | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str], **overrides: object) -> Self:
        """The settings of ``env``, with ``overrides`` (command line options; None means not given) over them.

        Raises SettingError for the first variable, in the order of the fields, that has a bad value.
        """
        values: dict[str, Any] = {}
        for name, kind in _kinds().items():
            if (given := overrides.get(name)) is not None:
                values[name] = given
            elif text := env.get(variable(name), "").strip():
                values[name] = _parse(name, kind, text)
        settings = cls(**values)
        settings._check_oidc()
        return settings

    def _check_oidc(self) -> None:
        """Signing in at an issuer is switched on as a whole, or not at all."""
        if self.oidc_issuer is None:
            return
        for name in ("oidc_client_id", "oidc_groups"):
            if not getattr(self, name):
                raise SettingError(
                    f"SKALD_OIDC_ISSUER is set, and so {variable(name)} has to be. {MEANINGS[name]}"
                )

    def to_env(self) -> dict[str, str]:
        """The variables that make ``from_env`` give these settings again, for child processes."""
        env = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                env[variable(name)] = _text(value, SEPARATORS.get(name, ","))
        return env

    def shown(self) -> list[Shown]:
        """Every setting as a person reads it; passwords are masked."""
        defaults = type(self)()
        return [
            Shown(
                name=name,
                variable=variable(name),
                value=MASK
                if name in SECRETS and getattr(self, name)
                else _display(name, getattr(self, name)),
                default=_display(name, getattr(defaults, name)),
                meaning=MEANINGS[name],
            )
            for name in self.__struct_fields__
        ]


MEANINGS: dict[str, str] = {
    "database_url": "PostgreSQL 14 or newer. Unset: an embedded server under the data folder.",
    "read_database_url": "Replicas of that PostgreSQL: lists, searches, history, cold reads and pages of the console go there while they are not behind. "
    "Unset: none.",
    "stale_reads": "Seconds that an answer may be old, and says so, while no primary can be reached; it comes from replicas and caches. 0: "
    "reads end with the primary.",
    "redis_url": "Redis or Valkey: redis://, rediss:// or unix://, or redis+sentinel://host1,host2,host3/service. Unset: an "
    "embedded server.",
    "data_dir": "Folder of the embedded servers' data and of the first key.",
    "host": "Address to listen on. Only this machine by default: the service speaks plain HTTP.",
    "port": "TCP port to listen on.",
    "workers": "API processes. One per core, at most 4, so that PostgreSQL keeps cores of its own.",
    "rate_limit_per_minute": "Requests per key and minute over all processes; 0 switches the limit off.",
    "rate_limit_per_hour": "Requests per key and hour over all processes; 0 switches the limit off.",
    "share_rate_limit_per_minute": "Requests per share, and per address at the origin, and minute; 0 switches it off. One "
    "installer fetches every skill by a request of its own.",
    "failed_attempts_per_minute": "Wrong keys and share addresses per client address, minute and API process; then only keys "
    "that were good before are let in. 0 switches it off. Behind a proxy, set trusted_proxies.",
    "public_project": "Number of the project whose skills anyone may install from the origin, without a key. Unset: none.",
    "sdk_text_only": "1 leaves prompts that are no text out of the lists that SDKs ask for, which fail at the first such prompt.",
    "git_max_skills": "Skills of which a git repository is made at most: each change writes a list of them all, 60 bytes each.",
    "max_body_bytes": "Largest request body. 32 MiB holds a skill with many files, and bounds memory.",
    "trusted_proxies": "Addresses or networks, comma-separated, whose X-Forwarded-* headers count. None by default.",
    "public_url": "Where clients find the service, such as https://host/skald; addresses in answers begin by it. Unset: by scheme, "
    "host and prefix of the request, as trusted proxies give them.",
    "cache_bytes": "Memory for encoded answers in each API process; 0 switches the cache off.",
    "max_in_flight": "Requests that each API process works on at once; more are answered 503 with Retry-After. 0: no bound.",
    "fast_path": "0 sends the hottest requests, GET and PATCH by name, through the framework as all others: same answers, slower.",
    "pool_size": "Database connections of each API process; more only queue inside PostgreSQL.",
    "stream_heartbeat": "Seconds of silence after which an event stream sends a comment; proxies close silent ones.",
    "log_level": "debug, info, warning or error.",
    "stream_maxlen": "Events to keep in the Redis Stream of each project, about; 0 keeps all. 10,000 take some 10 MB.",
    "stream_max_bytes": "Memory for the Redis Stream of each project, about; its oldest events go first. 0: no bound.",
    "stream_max_total_bytes": "Memory for all Redis Streams together, about, and never more than half of Redis's maxmemory: "
    "cache and rate limits live there, too. The largest streams are trimmed. 0: that half alone.",
    "stream_replay": "Where an emptied Redis is filled again from: 0 (all that stream_maxlen keeps) or head (new events only).",
    "secret_key": "Seals the secrets of webhooks in the database: 32 characters or more, the same on all hosts. Several with "
    "commas between: the first one seals, all open. Unset: `skald serve` makes one for an embedded database.",
    "webhook_allow_private": "1 lets webhooks call private and loopback addresses, too: for tests and closed networks.",
    "cors_origins": "Web pages, comma-separated as scheme://host:port, that may use the API from a browser; * is all. None by default.",
    "mcp_origins": "Web pages, comma-separated as scheme://host:port, that may call the MCP endpoint; * is all. Agents need "
    "no entry: only browsers say where they come from.",
    "oidc_issuer": "Where people sign in to the console by OpenID Connect, such as https://id.example.com/realms/main. Unset: by "
    "keys and links alone.",
    "oidc_client_id": "What the issuer knows the console as.",
    "oidc_client_secret": "The secret that goes with it. Unset: a public client, by PKCE alone.",
    "oidc_name": "How the button of the sign-in page calls the issuer. Unset: its host.",
    "oidc_groups": "What each group at the issuer may do, as group=scope scope, with semicolons between groups; the group * is "
    "everybody there. A person of several may do what each may.",
    "oidc_groups_claim": "The claim of the ID token with the groups: a list of texts or one text; a.b is b within a.",
    "oidc_scopes": "What the issuer is asked for, with blanks between.",
    "oidc_projects": "Numbers of the projects, comma-separated, that people may enter who sign in by the issuer. Unset: all.",
    "oidc_trust_email": "1 takes mail addresses that the issuer does not call verified for those of users with the same "
    "address: for issuers that give people their addresses and say nothing of it, such as Entra.",
    "postgres_bin": "Folder with postgres and initdb. Unset: the installed wheel, then the system's.",
    "valkey_bin": "The valkey-server or redis-server file. Unset: the installed wheel, then the system's.",
    "run_dir": "Folder the API processes of one host share; `skald serve` makes a fresh one at each start.",
    "database_dir": "Folder on the disk of the database, when that is on this host: writes are refused before it is full. "
    "`skald serve` sets it for the embedded one.",
}


# Between entries; of all others it is a comma, which names of groups may have.
SEPARATORS = {"oidc_groups": ";"}
# Shown as MASK.
SECRETS = ("secret_key", "oidc_client_secret")


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def masked(url: str) -> str:
    """A database or Redis address whose password, if it has one, cannot be read."""
    if "://" not in url:
        return make_conninfo(url, password=MASK) if conninfo_to_dict(url).get("password") else url
    split = urlsplit(url)
    if split.password is not None:
        user = split.netloc.split(":", 1)[0]
        place = split.netloc.rsplit("@", 1)[1]
        url = url.replace(split.netloc, f"{user}:{MASK}@{place}", 1)
    return re.sub(r"(?i)([?&](?:\w+_)?password=)[^&#]*", rf"\1{MASK}", url)


def _kinds() -> dict[str, Any]:
    return get_type_hints(Settings, include_extras=True)


def _parse(name: str, kind: Any, text: str) -> Any:
    try:
        if name in _SPECIAL:
            return _SPECIAL[name](text)
        if kind is Path or kind == Path | None:
            return Path(text).expanduser()
        return msgspec.convert(text, type=kind, strict=False)
    except ValueError as error:
        reason = str(error).split(" - at ")[0]
        reason = reason.replace("Expected `int`, got `str`", "it is no whole number").replace(
            "Expected `int`", "it must be"
        )
        secret = name in ("database_url", "read_database_url", "redis_url", *SECRETS)
        shown = "" if secret else f"={text!r}"
        raise SettingError(f"{variable(name)}{shown} cannot be used: {reason}. {MEANINGS[name]}") from None


def _database_url(text: str) -> str:
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("it is no PostgreSQL address such as postgresql://user:password@host/name") from None
    return text


def _redis_url(text: str) -> str:
    # Not at the top: most commands need no Redis.
    from projections.redis.client import check

    check(text)
    return text


def _proxies(text: str) -> tuple[str, ...]:
    return tuple(
        str(ipaddress.ip_network(part.strip(), strict=False)) for part in text.split(",") if part.strip()
    )


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().lower().removesuffix("/") for part in text.split(",") if part.strip())
    if any(
        origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", origin) for origin in origins
    ):
        raise ValueError("an origin is scheme://host:port without a path")
    return origins


def _secret_keys(text: str) -> tuple[str, ...]:
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    if not keys or any(len(key) < SHORTEST_KEY for key in keys):
        raise ValueError(f"a key has at least {SHORTEST_KEY} characters; openssl rand -hex 32 makes one")
    return keys


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise ValueError(
            "an issuer is an address that begins with https://, on this machine also with http://"
        )
    if not parts.hostname or parts.query or parts.fragment or parts.username or not text.isprintable():
        raise ValueError("an issuer looks like https://host or https://host/path")
    return text


def _oidc_name(text: str) -> str:
    if len(text) > MAX_OIDC_NAME or not text.isprintable():
        raise ValueError(f"a name has at most {MAX_OIDC_NAME} printable characters")
    return text


def _groups(text: str) -> tuple[str, ...]:
    """Entries ``group=scope scope``. A group may be a name with equals signs; a scope is none."""
    groups = []
    for entry in text.split(";"):
        if not entry.strip():
            continue
        group, sign, scopes = entry.rpartition("=")
        if not sign or not group.strip():
            raise ValueError(f"{entry.strip()!r} is not group=scope scope")
        try:
            groups.append(f"{group.strip()}={' '.join(check_scopes(scopes.split()))}")
        except Invalid as error:
            raise ValueError(f"of group {group.strip()!r}: {error.detail}") from None
    return tuple(groups)


def _projects(text: str) -> tuple[str, ...]:
    numbers = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(
        not number.isascii() or not number.isdigit() or not 0 < int(number) <= 2**53 for number in numbers
    ):
        raise ValueError("projects are whole numbers with commas between")
    return numbers


_SPECIAL: dict[str, Any] = {
    "oidc_issuer": _issuer,
    "oidc_name": _oidc_name,
    "oidc_groups": _groups,
    "oidc_projects": _projects,
    "database_url": _database_url,
    "read_database_url": _database_url,
    "redis_url": _redis_url,
    "trusted_proxies": _proxies,
    "public_url": public_url,
    "secret_key": _secret_keys,
    "cors_origins": _origins,
    "mcp_origins": _origins,
}


def _text(value: object, separator: str = ",") -> str:
    """A value as ``from_env`` reads it."""
    if isinstance(value, tuple):
        return separator.join(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _display(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = _text(value, SEPARATORS.get(name, ","))
    return masked(text) if name.endswith("_url") else text
