"""A service that answers 429 with `Retry-After: 0` for ever was asked again for ever, thousands of times a second, by every command."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from cli.client import remote as module
from cli.client.profile import Target
from cli.client.remote import REFUSALS, Remote, RemoteFailure

Step = tuple[int, str | None]  # status and Retry-After
THROTTLED = b'{"type":"throttled_error","code":"throttled","detail":"Too many requests.","attr":null}'


class Refusing:
    """A service that answers what ``step`` says of each request by its number; in this process, as only counts matter."""

    def __init__(self, step: Callable[[int], Step]) -> None:
        self.asked = 0
        self.step = step
        self.remote = Remote(Target(url="http://skald.test", key="sk_x", project="1"))
        self.remote._http = httpx.Client(
            base_url="http://skald.test", transport=httpx.MockTransport(self.answer)
        )

    def answer(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        status, after = self.step(self.asked)
        headers = {} if after is None else {"Retry-After": after}
        return httpx.Response(
            status, headers=headers, stream=httpx.ByteStream(b'{"a":"b"}' if status == 200 else THROTTLED)
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.004)


LONG_AGO = format_datetime(datetime(1999, 1, 1, tzinfo=UTC), usegmt=True)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("after", ["0", None, "", "-5", "soon", "1e9", LONG_AGO, "Fri, 99 Foo 2026 99:99:99"])
def test_one_that_never_answers_is_asked_so_many_times(status: int, after: str) -> None:
    service = Refusing(lambda _: (status, after))
    with pytest.raises(RemoteFailure, match=f"asked {REFUSALS} times") as failed:
        service.remote.send("POST", "/x", {})
    assert (failed.value.status, failed.value.is_of_all) == (status, True)
    assert service.asked == REFUSALS


@pytest.mark.parametrize(
    "after",
    [
        *("9" * 30, "86400", "9" * 5000),
        *("Sun, 01 Jan 2090 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_one_that_asks_for_too_long_a_pause_is_given_up_at_once(after: str) -> None:
    service = Refusing(lambda _: (429, after))
    with pytest.raises(RemoteFailure, match=r"asked once, and is to be asked again in [0-9,]+ s"):
        service.remote.request("GET", "/x")
    assert service.asked == 1


def test_the_pause_grows_whatever_it_says_and_what_passes_is_waited_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.016)
    service = Refusing(lambda asked: (429 if asked < 8 else 200, "0"))
    waits = service.remote._wait_until

    def noted(deadline: float) -> None:
        if deadline > 0:
            pauses.append(deadline)
        waits(deadline)

    monkeypatch.setattr(service.remote, "_wait_until", noted)
    assert service.remote.get("/x", shape=dict[str, str]) == {"a": "b"}
    assert service.asked == 8
    gaps = [round(later - earlier, 3) for earlier, later in itertools.pairwise(pauses)]
    assert all(gap >= least for gap, least in zip(gaps, (0.002, 0.004, 0.008, 0.016, 0.016), strict=False))


def test_a_date_is_waited_for() -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    service = Refusing(
        lambda _: (429 if datetime.now(UTC) < at - timedelta(seconds=1.1) else 200, format_datetime(at))
    )
    assert service.remote.request("GET", "/x").status_code == 200
    assert service.asked == 2
