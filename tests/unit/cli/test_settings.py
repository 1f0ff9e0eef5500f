"""Settings: what the environment may say, and what is answered when it says something else."""

from pathlib import Path

import pytest

from cli.settings import MEANINGS, SettingError, Settings, masked, variable


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})
    assert settings.database_url is None
    assert settings.port == 8000
    assert settings.rate_limit_per_minute == 480
    assert settings.rate_limit_per_hour == 4800
    assert settings.max_body_bytes == 33_554_432
    assert 1 <= settings.workers <= 4


def test_every_setting_is_read_from_its_variable() -> None:
    env = {
        "SKALD_DATABASE_URL": "postgresql://skald@db/skald",
        "SKALD_READ_DATABASE_URL": "postgresql://skald@replica/skald",
        "SKALD_STALE_READS": "300",
        "SKALD_REDIS_URL": "redis://cache:6379/0",
        "SKALD_DATA_DIR": "/srv/skald",
        "SKALD_HOST": "0.0.0.0",
        "SKALD_PORT": "80",
        "SKALD_WORKERS": "3",
        "SKALD_RATE_LIMIT_PER_MINUTE": "0",
        "SKALD_RATE_LIMIT_PER_HOUR": "1",
        "SKALD_SHARE_RATE_LIMIT_PER_MINUTE": "2",
        "SKALD_FAILED_ATTEMPTS_PER_MINUTE": "3",
        "SKALD_PUBLIC_PROJECT": "7",
        "SKALD_SDK_TEXT_ONLY": "1",
        "SKALD_GIT_MAX_SKILLS": "9",
        "SKALD_MAX_BODY_BYTES": "2048",
        "SKALD_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "SKALD_PUBLIC_URL": "https://Skald.example/team/skald/",
        "SKALD_CACHE_BYTES": "0",
        "SKALD_MAX_IN_FLIGHT": "64",
        "SKALD_FAST_PATH": "0",
        "SKALD_POOL_SIZE": "2",
        "SKALD_STREAM_HEARTBEAT": "0.5",
        "SKALD_LOG_LEVEL": "debug",
        "SKALD_STREAM_MAXLEN": "0",
        "SKALD_STREAM_MAX_BYTES": "4",
        "SKALD_STREAM_MAX_TOTAL_BYTES": "5",
        "SKALD_STREAM_REPLAY": "head",
        "SKALD_SECRET_KEY": f"{'a' * 32}, {'b' * 64}",
        "SKALD_WEBHOOK_ALLOW_PRIVATE": "1",
        "SKALD_CORS_ORIGINS": "https://App.example:8443",
        "SKALD_MCP_ORIGINS": "https://App.example/, http://127.0.0.1:6274",
        "SKALD_OIDC_ISSUER": "https://id.example.com/realms/main",
        "SKALD_OIDC_CLIENT_ID": "skald",
        "SKALD_OIDC_CLIENT_SECRET": "secret",
        "SKALD_OIDC_NAME": "Guild",
        "SKALD_OIDC_GROUPS": "admins=*",
        "SKALD_OIDC_GROUPS_CLAIM": "roles",
        "SKALD_OIDC_SCOPES": "openid",
        "SKALD_OIDC_PROJECTS": "1",
        "SKALD_OIDC_TRUST_EMAIL": "1",
        "SKALD_POSTGRES_BIN": "/opt/pg/bin",
        "SKALD_VALKEY_BIN": "/opt/valkey-server",
        "SKALD_RUN_DIR": "/run/skald",
        "SKALD_DATABASE_DIR": "/var/lib/postgresql",
    }
    settings = Settings.from_env(env)
    assert set(env) == {variable(name) for name in Settings.__struct_fields__}
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.public_url == "https://skald.example/team/skald"
    assert settings.data_dir == Path("/srv/skald")
    assert settings.secret_key == ("a" * 32, "b" * 64)
    assert settings.webhook_allow_private is True
    assert settings.cors_origins == ("https://app.example:8443",)
    assert settings.mcp_origins == ("https://app.example", "http://127.0.0.1:6274")
    assert Settings.from_env(settings.to_env()) == settings


def test_an_option_goes_over_the_environment_and_an_option_not_given_does_not() -> None:
    env = {"SKALD_PORT": "1", "SKALD_HOST": "::1"}
    settings = Settings.from_env(env, port=2, host=None)
    assert (settings.port, settings.host) == (2, "::1")


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_env({"SKALD_PORT": " ", "SKALD_DATABASE_URL": ""}) == Settings.from_env({})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SKALD_PORT", "http"),
        ("SKALD_PORT", "0"),
        ("SKALD_PORT", "65536"),
        ("SKALD_WORKERS", "1.5"),
        ("SKALD_WORKERS", "0"),
        ("SKALD_RATE_LIMIT_PER_MINUTE", "-1"),
        ("SKALD_MAX_BODY_BYTES", "32MiB"),
        ("SKALD_TRUSTED_PROXIES", "proxy.example"),
        ("SKALD_PUBLIC_URL", "skald.example"),
        ("SKALD_PUBLIC_URL", "https://user@skald.example/"),
        ("SKALD_PUBLIC_URL", "https://skald.example/a/../b"),
        ("SKALD_PUBLIC_URL", "https://skald.example//a"),
        ("SKALD_PUBLIC_URL", "https://skald.example/?a"),
        ("SKALD_LOG_LEVEL", "loud"),
        ("SKALD_STREAM_MAXLEN", "-1"),
        ("SKALD_STREAM_REPLAY", "7"),
        ("SKALD_SECRET_KEY", "short"),
        ("SKALD_WEBHOOK_ALLOW_PRIVATE", "perhaps"),
        ("SKALD_CORS_ORIGINS", "https://app.example/page"),
        ("SKALD_MCP_ORIGINS", "app.example"),
        ("SKALD_REDIS_URL", "cache:6379"),
        ("SKALD_REDIS_URL", "redis://one:6379,two:6379/0"),
        ("SKALD_REDIS_URL", "redis://cache?timeout=1"),
        ("SKALD_REDIS_URL", "redis+sentinel://one,two"),
        ("SKALD_REDIS_URL", "redis+sentinel:///service"),
        ("SKALD_REDIS_URL", "redis+sentinel://one:x/service"),
        ("SKALD_REDIS_URL", "redis+sentinel://one,,two/service"),
        ("SKALD_REDIS_URL", "redis+sentinel://one/service/name"),
        ("SKALD_REDIS_URL", "redis+sentinel://one/service?timeout=1"),
        ("SKALD_REDIS_URL", "rediss://cache?ssl_cert_reqs=perhaps"),
        ("SKALD_OIDC_ISSUER", "http://id.example.com"),
        ("SKALD_OIDC_ISSUER", "https://id.example.com/?realm=a"),
        ("SKALD_OIDC_ISSUER", "https://user@id.example.com"),
        ("SKALD_OIDC_ISSUER", "id.example.com"),
        ("SKALD_OIDC_GROUPS", "admins"),
        ("SKALD_OIDC_GROUPS", "admins=everything"),
        ("SKALD_OIDC_GROUPS", "admins="),
        ("SKALD_OIDC_GROUPS", "=*"),
        ("SKALD_OIDC_NAME", "x" * 61),
        ("SKALD_OIDC_PROJECTS", "1,two"),
        ("SKALD_OIDC_PROJECTS", "0"),
        ("SKALD_DATABASE_URL", "mysql://db"),
        ("SKALD_READ_DATABASE_URL", "mysql://db"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=name):
        Settings.from_env({name: text})


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster", "redis-cluster"])
def test_a_cluster_is_refused_by_what_would_be_right(scheme: str) -> None:
    with pytest.raises(SettingError, match="Redis Cluster cannot be used") as refused:
        Settings.from_env({"SKALD_REDIS_URL": f"{scheme}://:hunter2@one,two"})
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_secret_key_is_shown_nowhere() -> None:
    key = "k" * 40
    shown = {row.name: row for row in Settings.from_env({"SKALD_SECRET_KEY": key}).shown()}
    assert (shown["secret_key"].value, shown["secret_key"].default) == ("****", "")
    with pytest.raises(SettingError) as refused:
        Settings.from_env({"SKALD_SECRET_KEY": key[:20]})
    assert "kkk" not in str(refused.value)


def test_an_issuer_is_switched_on_as_a_whole() -> None:
    env = {"SKALD_OIDC_ISSUER": "https://id.example.com/realms/main"}
    with pytest.raises(SettingError, match="SKALD_OIDC_CLIENT_ID has to be"):
        Settings.from_env(env)
    env["SKALD_OIDC_CLIENT_ID"] = "skald"
    with pytest.raises(SettingError, match="SKALD_OIDC_GROUPS has to be"):
        Settings.from_env(env)
    env |= {
        "SKALD_OIDC_GROUPS": "CN=Admins,OU=Groups=*; editors = llm_skill:write  event:read;*=llm_skill:read;",
        "SKALD_OIDC_CLIENT_SECRET": "hunter2",
        "SKALD_OIDC_PROJECTS": "1, 2",
    }
    settings = Settings.from_env(env)
    assert settings.oidc_groups == (
        "CN=Admins,OU=Groups=*",
        "editors=llm_skill:write event:read",
        "*=llm_skill:read",
    )
    assert settings.oidc_projects == ("1", "2")
    assert Settings.from_env(settings.to_env()) == settings
    assert "hunter2" not in str(settings.shown())


def test_a_refused_address_is_not_repeated_because_it_may_hold_a_password() -> None:
    with pytest.raises(SettingError) as refused:
        Settings.from_env({"SKALD_DATABASE_URL": "postgres//user:hunter2@db"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@db:5432/name",
        "postgresql://db/name?user=a&password=hunter2",
        "host=db user=a password=hunter2",
        "redis://:hunter2@cache:6379/0",
        "redis+sentinel://ann:hunter2@one:26379,two/service",
        "redis+sentinel://one,two/service?sentinel_password=hunter2",
        "rediss://cache?ssl_password=hunter2",
    ],
)
def test_passwords_are_masked(url: str) -> None:
    assert "hunter2" not in masked(url)
    assert "****" in masked(url)


def test_an_address_without_a_password_is_shown_as_it_is() -> None:
    for url in ("postgresql://user@db:5432/name", "unix:///run/valkey.sock", "host=/run user=skald"):
        assert masked(url) == url


def test_every_setting_is_explained_and_shown() -> None:
    assert set(MEANINGS) == set(Settings.__struct_fields__)
    shown = {row.name: row for row in Settings.from_env({"SKALD_PORT": "9"}).shown()}
    assert (shown["port"].variable, shown["port"].value, shown["port"].default) == ("SKALD_PORT", "9", "8000")
