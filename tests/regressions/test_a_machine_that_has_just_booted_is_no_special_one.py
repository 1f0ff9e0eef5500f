"""``monotonic`` counts from the boot, and 0.0 stood for "never": on a machine up for less than a limit, never was just now."""

from pathlib import Path

import pytest

from api.access.rate_limit import RateLimiter
from api.cache.positions import StreamPositions
from store.log.appender import Appender


@pytest.fixture(params=[0.0, 0.001, 1.0])
def uptime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    for module in (
        "store.log.appender",
        "api.cache.positions",
        "api.access.rate_limit",
        "projections.redis.views",
        "workers.follower",
    ):
        monkeypatch.setattr(f"{module}.monotonic", lambda: request.param)
    seconds: float = request.param
    return seconds


def test_the_first_commit_may_notify(uptime: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.log.appender.MIN_NOTIFY_INTERVAL", 3600.0)
    assert Appender("")._is_due()


def test_a_log_that_was_never_heard_of_makes_nothing_fresh(uptime: float) -> None:
    positions = StreamPositions()
    assert not positions.healthy
    assert not positions.is_fresh(1, 10)
    positions.confirm()
    assert positions.is_fresh(1, 10)
    positions.lost()
    assert not positions.healthy
    assert not positions.is_fresh(1, 10)


def test_the_first_loss_of_redis_is_logged(uptime: float, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(None, per_minute=1, per_hour=1)
    limiter._lost(OSError())
    assert "Redis is away" in caplog.text


def test_no_moment_of_the_monotonic_clock_is_counted_from_zero() -> None:
    """The siblings: whoever remembers a moment starts with one that is before all others."""
    root = Path(__file__).parents[2]
    suspicious = ("_announced", "_heard", "_until", "_next_try", "_not_before", "_since", "_last_", "_at")
    found = [
        f"{path.relative_to(root)}:{number}"
        for room in ("store", "projections", "api", "workers", "cli")
        for path in (root / room).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip().endswith("= 0.0")
        and any(f"{word} = 0.0" in line or f"{word}: float = 0.0" in line for word in suspicious)
    ]
    assert found == []
