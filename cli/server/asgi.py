"""The application as the API processes load it."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from api.cache.shared_memory import SharedMemoryCache
from api.config import ApiConfig
from api.server.tracing import asked_for
from cli.errors import Failure
from cli.settings import Settings
from console import issuer as issuers
from console.app import create_app

# The master loads this before it forks, so its processes share it.
shared = SharedMemoryCache()


def app() -> Any:
    """The ASGI application with the settings of the environment. Raises Failure."""
    settings = Settings.from_env(os.environ)
    config = api_config(settings, tracing=os.environ if asked_for(os.environ) else None)
    try:
        return create_app(config, shared if settings.workers > 1 else None, issuer(settings))
    except OSError as error:
        where = error.filename or config.run_dir
        raise Failure(
            f"the folder that the API processes share, SKALD_RUN_DIR={config.run_dir}, cannot be used: {where}: "
            f"{error.strerror}; it must be writable for this user, on a disk with room for some megabytes"
        ) from None


def issuer(settings: Settings) -> issuers.Settings | None:
    """Where people sign in to the console besides by keys; None: nowhere."""
    if settings.oidc_issuer is None:
        return None
    entries = [entry.rpartition("=") for entry in settings.oidc_groups]
    groups: dict[str, tuple[str, ...]] = {}
    for group, _, scopes in entries:
        groups[group] = (*groups.get(group, ()), *scopes.split())
    return issuers.Settings(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id or "",
        client_secret=settings.oidc_client_secret,
        name=settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or settings.oidc_issuer,
        scopes=settings.oidc_scopes,
        groups_claim=settings.oidc_groups_claim,
        groups=groups,
        project_ids=tuple(map(int, settings.oidc_projects)) or None,
        trust_email=settings.oidc_trust_email,
    )


def api_config(settings: Settings, *, tracing: Mapping[str, str] | None = None) -> ApiConfig:
    """What the API takes of the settings. Raises Failure when an address or the shared folder is not set."""
    if settings.database_url is None or settings.run_dir is None:
        raise Failure(
            "the API processes need SKALD_DATABASE_URL and SKALD_RUN_DIR; start them by `skald serve`"
        )
    return ApiConfig(
        database_url=settings.database_url,
        read_database_url=settings.read_database_url,
        stale_reads=settings.stale_reads,
        redis_url=settings.redis_url,
        run_dir=settings.run_dir,
        database_dir=settings.database_dir,
        rate_limit_per_minute=settings.rate_limit_per_minute,
        rate_limit_per_hour=settings.rate_limit_per_hour,
        git_max_skills=settings.git_max_skills,
        share_rate_limit_per_minute=settings.share_rate_limit_per_minute,
        failed_attempts_per_minute=settings.failed_attempts_per_minute,
        public_project=settings.public_project,
        sdk_text_only=settings.sdk_text_only,
        max_body_bytes=settings.max_body_bytes,
        trusted_proxies=settings.trusted_proxies,
        public_url=settings.public_url,
        cache_bytes=settings.cache_bytes,
        max_in_flight=settings.max_in_flight,
        fast_path=settings.fast_path,
        pool_size=settings.pool_size,
        heartbeat=settings.stream_heartbeat,
        log_level=settings.log_level,
        secret_keys=settings.secret_key,
        webhook_allow_private=settings.webhook_allow_private,
        cors_origins=settings.cors_origins,
        mcp_origins=settings.mcp_origins,
        tracing=tracing,
    )
