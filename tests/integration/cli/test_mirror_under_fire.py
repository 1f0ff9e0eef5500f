"""A mirror under fire: its key revoked, its source gone, slow, strange or set back, killed in mid-write, twice at once, and of a mirror.

It runs in this process, between two projects of a real service; faults stand between them.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from cli.client import remote as remotes
from cli.client.profile import Target
from cli.client.remote import Remote
from cli.importing import follow
from cli.importing.elsewhere import SourceService
from cli.importing.follow import Follow
from cli.importing.from_skald import SkaldSource
from tests.integration.cli.test_import_from import Registry, here, there
from tests.integration.cli.test_mirror import shown, until
from tests.support.service import Service

__all__ = ["here", "there"]

Fault = Callable[[httpx.Request], httpx.Response | None]


class Killed(BaseException):
    """The process ends here."""


class Between(httpx.BaseTransport):
    """What is between a mirror and a service. ``before`` may answer instead of it, ``after`` may fail once it has."""

    def __init__(self) -> None:
        self.inner = httpx.HTTPTransport()
        self.before: Fault = lambda _: None
        self.after: Fault = lambda _: None
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if (found := self.before(request)) is not None:
            return found
        answer = self.inner.handle_request(request)
        self.after(request)
        return answer


def saying(status: int, body: bytes | dict[str, Any]) -> httpx.Response:
    content = body if isinstance(body, bytes) else httpx.Response(200, json=body).content
    return httpx.Response(status, stream=httpx.ByteStream(content))


class Mirroring(threading.Thread):
    """A mirror that runs; ``ended_by`` is why it does no more."""

    def __init__(self, here: Registry, there: Registry) -> None:
        super().__init__(daemon=True)
        self.ended_by: BaseException | None = None
        self.source_side, self.own_side = Between(), Between()
        source = SourceService(self.target_to(there), called="Skald", notice=lambda _: None)
        self.remotes = (source, Remote(self.target_to(here)))
        for remote, side in zip(self.remotes, (self.source_side, self.own_side), strict=True):
            remote._http = httpx.Client(
                base_url=remote.target.url, headers=remote._http.headers, timeout=30, transport=side
            )
        title = f"Skald at {source.target.url}, project {source.target.project}"
        self.follow = Follow(SkaldSource(source, ("skill", "prompt"), title), self.remotes[1])

    @staticmethod
    def target_to(registry: Registry) -> Target:
        person = registry.person
        return Target(url=person.service.base_url, key=person.key, project=str(person.project_id))

    def run(self) -> None:
        try:
            self.follow.run()
        except BaseException as ended:
            self.ended_by = ended

    def has_ended(self) -> str:
        """By what, within some time."""
        self.join(60)
        assert not self.is_alive()
        return str(self.ended_by)


@contextmanager
def mirroring(here: Registry, there: Registry) -> Iterator[Mirroring]:
    one = Mirroring(here, there)
    one.start()
    try:
        yield one
    finally:
        for remote in one.remotes:
            remote.stop()
        one.join(30)
        for remote in one.remotes:
            remote._http.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "WAIT", 1)
    monkeypatch.setattr(follow, "PAUSE", 0.05)
    monkeypatch.setattr(follow, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(remotes, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(remotes, "LONGEST_PAUSE", 0.002)


def make(there: Registry, name: str) -> None:
    there.send("POST", "llm_skills/", json={"name": name, "description": "D.", "body": "# 1\n"})


def publish(there: Registry, name: str, number: int) -> None:
    there.send("PATCH", f"llm_skills/name/{name}", json={"body": f"# {number}\n", "base_version": number - 1})


def bodies(here: Registry, name: str) -> list[str]:
    return [one["body"] for one in here.versions(name)]


def equal(here: Registry, there: Registry) -> bool:
    return shown(here) == shown(there)


def is_feed(request: httpx.Request) -> bool:
    return request.url.path.rstrip("/").endswith("/events")


@pytest.mark.parametrize(
    "fault",
    [
        lambda _: saying(429, {"type": "x", "code": "throttled", "detail": "Too many."}),
        lambda request: saying(200, {"results": [], "position": "far"}) if is_feed(request) else None,
    ],
    ids=["429", "feed"],
)
def test_a_source_that_is_gone_for_long_is_waited_for(here: Registry, there: Registry, fault: Fault) -> None:
    make(there, "one")
    with mirroring(here, there) as mirror:
        until(lambda: equal(here, there))
        until(lambda: any("/events" in asked for asked in mirror.source_side.asked))
        mirror.source_side.before = fault
        publish(there, "one", 2)
        count = len(mirror.source_side.asked)
        until(lambda: len(mirror.source_side.asked) > count + 40)
        assert mirror.is_alive()
        mirror.source_side.before = lambda _: None
        until(lambda: equal(here, there))
    assert bodies(here, "one") == ["# 1\n", "# 2\n"]


def test_a_feed_that_answers_at_once_is_not_spun_on(
    here: Registry, there: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "WAIT", 0)
    monkeypatch.setattr(follow, "PAUSE", 0.5)
    with mirroring(here, there) as mirror:
        until(lambda: sum("/events" in asked for asked in mirror.source_side.asked) >= 3)
        before = len(mirror.source_side.asked)
        mirror.join(1.2)
        assert len(mirror.source_side.asked) - before <= 4


def test_a_log_that_went_back_is_compared(here: Registry, there: Registry) -> None:
    make(there, "one")
    went_back = {"type": "conflict", "code": "log_went_back", "detail": "The log went back.", "position": 0}
    with mirroring(here, there) as mirror:
        until(lambda: equal(here, there))
        until(lambda: sum("/events" in asked for asked in mirror.source_side.asked) >= 2)
        # The answer of a feed that was set back, once.
        answers = [saying(409, went_back)]

        def fault(request: httpx.Request) -> httpx.Response | None:
            return answers.pop() if answers and is_feed(request) and "limit=500" in str(request.url) else None

        mirror.source_side.before = fault
        until(lambda: not answers)
        make(there, "two")
        until(lambda: equal(here, there))
        assert mirror.is_alive()


def test_what_is_killed_after_a_write_does_it_once(here: Registry, there: Registry) -> None:
    make(there, "one")
    for number in (2, 3, 4):
        publish(there, "one", number)
    there.send("PUT", "llm_skills/name/one/labels/stable", json={"version": 2})
    seen: set[str] = set()

    def kill(request: httpx.Request) -> None:
        # Each write once: it has happened, and no answer came.
        what = f"{request.method} {request.url.path} {len(seen)}"
        if request.method != "GET" and "/mirror" not in request.url.path and len(seen) < 5:
            seen.add(what)
            raise Killed

    for _ in range(8):
        with mirroring(here, there) as mirror:
            mirror.own_side.after = kill
            until(lambda mirror=mirror: equal(here, there) or not mirror.is_alive())  # type: ignore[misc]
        if equal(here, there):
            break
    assert len(seen) == 5
    assert bodies(here, "one") == ["# 1\n", "# 2\n", "# 3\n", "# 4\n"]
    assert equal(here, there)


def test_two_of_one_mirror_double_nothing_and_either_goes_on_alone(here: Registry, there: Registry) -> None:
    for name in ("a", "b"):
        make(there, name)
    with mirroring(here, there) as first:
        with mirroring(here, there) as second:
            for number in range(2, 6):
                for name in ("a", "b"):
                    publish(there, name, number)
            until(lambda: equal(here, there))
            assert (first.is_alive(), second.is_alive()) == (True, True)
        for number in range(6, 8):
            publish(there, "a", number)
        until(lambda: equal(here, there))
        assert first.is_alive()
    assert bodies(here, "a") == [f"# {number}\n" for number in range(1, 8)]
    assert bodies(here, "b") == [f"# {number}\n" for number in range(1, 6)]


def test_a_mirror_of_a_mirror(
    here: Registry, there: Registry, running_service: Service, tmp_path: Any
) -> None:
    third = Registry(running_service, tmp_path / "third")
    make(there, "one")
    there.send("PUT", "llm_skills/name/one/labels/stable", json={"version": 1})
    with mirroring(here, there), mirroring(third, here):
        until(lambda: equal(third, there))
        publish(there, "one", 2)
        there.send("POST", "llm_skills/name/one/versions/1/yank", json={"reason": "wrong"})
        there.send("DELETE", "llm_skills/name/one/labels/stable")
        there.send("POST", "llm_skills/name/one/rename", json={"new_name": "uno"})
        until(lambda: equal(third, there))
        until(lambda: (third.get("llm_skills/name/uno", version=1)["yanked"] or {}).get("reason") == "wrong")
    third.http.close()


@pytest.mark.parametrize("of_source", [True, False], ids=["source", "own"])
def test_a_key_that_is_revoked_ends_it_and_says_which(
    here: Registry, there: Registry, of_source: bool
) -> None:
    body = {"type": "authentication_error", "code": "invalid_key", "detail": "The key is revoked."}
    make(there, "one")
    with mirroring(here, there) as mirror:
        until(lambda: any("/events" in asked for asked in mirror.source_side.asked) and equal(here, there))
        side = mirror.source_side if of_source else mirror.own_side
        side.before = lambda _: saying(401, body)
        publish(there, "one", 2)
        said = mirror.has_ended()
        assert "The key is revoked." in said
        assert ("the key of the source" in said) is of_source
