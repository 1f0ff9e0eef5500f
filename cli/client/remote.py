"""A client of the service's HTTP API for the commands of people: patient where waiting helps, clear where it does not.

Waits out 429 and 503 as Retry-After says, within bounds, and repeats what lost its connection: a read as it is, a write under
the same ``Idempotency-Key``, so that it happens once.
"""

import math
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import msgspec

from cli.client import answers
from cli.client.profile import CURRENT, ProfileError, Target
from cli.errors import Failure
from cli.output import printable
from domain.artifacts.kinds import KINDS

TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # seconds; a publish of a large skill over a slow line
ATTEMPTS = 6  # of a request whose connection breaks; the waits between them add up to some 6 s
FIRST_WAIT = 0.2  # seconds, doubled each time
# A service that says "not now" is asked again, each time after a longer pause, whatever its Retry-After says; the pauses add up
# to some two minutes where it says less.
REFUSALS = 18  # of one request, in a row
LONGEST_PAUSE = 10.0  # seconds
# Seconds of all pauses of one request: a limit per hour makes it wait for an hour, and for another one when others were quicker.
LONGEST_WAIT = 7300.0
BUSY_TIMEOUT = 120.0  # seconds that 502, 503 and 504 are waited out altogether
PAGE = 1000  # rows; the most that a list gives at once
MAX_LIST = 512 * 2**20  # bytes of all pages of a list
# The service's pages are shorter than PAGE only by their bytes, and all of MAX_LIST are a hundred of such.
MAX_PAGES = 2000
READ = 64 * 1024  # bytes that are unpacked at a time
# Seconds that one answer may take from its first byte to its last: the largest one over a slow line.
MAX_SECONDS = 900.0
OF_ALL = (401, 403, 429, 502, 503, 504)  # what is about the key, or about the service as a whole
MAX_RETRY_AFTER = 40  # characters of the header; a date has 29
MIN_SECRET = 8  # characters; what is shorter is a word
GZIP = 16 + zlib.MAX_WBITS

Notice = Callable[[str], None]
T = TypeVar("T")


class RemoteFailure(Failure):
    """What the service answered; ``status`` is that of HTTP."""

    code = "failed"

    def __init__(self, message: str, *, status: int, code: str, attr: str | None, extra: dict[str, Any]):
        super().__init__(message, code=code, attr=attr, extra=extra)
        self.status = status

    @property
    def problems(self) -> list[dict[str, Any]]:
        """What is wrong with a skill that was sent, in the service's words."""
        found = self.extra.get("problems")
        return [problem for problem in found if isinstance(problem, dict)] if isinstance(found, list) else []

    @property
    def is_of_all(self) -> bool:
        """Whether every other request would meet the same."""
        return self.status in OF_ALL or self.code == "not_skald"


class Unreachable(Failure):
    """No answer, also not at the last attempt."""

    code = "unreachable"


class Remote:
    """Requests to one project of one service; may be used by several threads. Close it, or use it in ``with``."""

    # What a person does about a key that is not valid, and about an address where something else answers.
    KEY_ADVICE: ClassVar[str] = "run `skald login` with a key that is valid"
    ADDRESS_ADVICE: ClassVar[str] = "is no Skald service there; check the address (`skald login --url …`)"
    # Of an answer that the service would not give.
    ODD: ClassVar[str] = "not_skald"
    # Bytes of one answer, unpacked: several times what the service sends at once (8 MiB, or one skill with an outline).
    # What answers at the address need not be the service.
    MAX_ANSWER: ClassVar[int] = 64 * 2**20

    def __init__(
        self, target: Target, *, notice: Notice = lambda _: None, authorization: str | None = None
    ) -> None:
        self.target = target
        self.notice = notice
        self._by = _proxy_of(target.url)
        # What may be in no output: the key, its parts, and what is sent of it.
        parts = [part for part in target.key.split(":") if len(part) >= MIN_SECRET]
        self._secrets = [one for one in (target.key, (authorization or "").rpartition(" ")[2], *parts) if one]
        try:
            self._http = httpx.Client(
                base_url=target.url,
                headers={
                    **({"Authorization": authorization or f"Bearer {target.key}"} if target.key else {}),
                    "User-Agent": "skald-cli",
                    "Accept-Encoding": "gzip",
                },
                timeout=TIMEOUT,
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise ProfileError(
                f"{target.url}{self._by} cannot be asked: {printable(error)}", code="bad_url"
            ) from None
        self._stopped = threading.Event()
        # Until when every thread waits, once the service has said that there are too many requests.
        self._not_before = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stop()
        self._http.close()

    def stop(self) -> None:
        """Let threads that wait give up."""
        self._stopped.set()

    # What there is

    def settle_project(self) -> None:
        """Put the number in place of ``@current``, so that what is kept of a project does not hang on the key."""
        if self.target.project == CURRENT:
            found = self.get(self.path(""), shape=answers.Project)
            self.target = msgspec.structs.replace(self.target, project=str(found["id"]))

    def path(self, rest: str) -> str:
        """The path of something in the project."""
        return f"/api/projects/{self.target.project}/{rest}"

    def named(self, name: str, rest: str = "", *, kind: str = "skill") -> str:
        """The path of a skill or prompt, or of something below it; ``name`` may be any text."""
        return self.path(f"{KINDS[kind].RESOURCE}/name/{quote_part(name)}/{rest}")

    def named_now(self, name: str, *, kind: str = "skill") -> str | None:
        """The name of what has, or had, this one; None when there is none."""
        try:
            return self.get(self.named(name, kind=kind), shape=answers.Version)["name"]
        except RemoteFailure as failure:
            if failure.status != 404:
                raise
            return None

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, shape: type[T]) -> T:
        """The JSON object that a GET answers with, which has the fields of ``shape``."""
        return self.decoded(self.request("GET", path, params=params), shape)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        shape: type[T] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON object that a write answers with, None without ``shape``; it happens once, however often it is repeated."""
        sent = {"Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = None if body is None else msgspec.json.encode(body)
        answer = self.request(method, path, content=content, headers=sent)
        return None if shape is None else self.decoded(answer, shape)

    def pages(self, path: str, params: Mapping[str, Any] | None = None, *, shape: type[T]) -> Iterator[T]:
        """The rows of all pages of a list, each of which has the fields of ``shape``."""
        offset, room, before = 0, MAX_LIST, b""
        for _ in range(MAX_PAGES):
            answer = self.request("GET", path, params={**(params or {}), "limit": PAGE, "offset": offset})
            page = self.decoded(answer, answers.Page)
            room -= len(answer.content)
            if room < 0:
                raise self._too_large(answer, MAX_LIST)
            rows = page["results"]
            if rows and before == (before := msgspec.json.encode(rows)):
                raise self._not_skald(answer, "answers with the same page again and again")
            yield from self._shaped(answer, rows, list[shape])  # type: ignore[valid-type]
            offset += len(rows)
            if not rows or offset >= page["count"]:
                return
        raise self._not_skald(answer, f"has a list of more than {MAX_PAGES:,} pages")

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> httpx.Response:
        """The answer, which is a success of at most ``max_bytes``, by default MAX_ANSWER. Raises RemoteFailure or Unreachable.

        A write must carry an ``Idempotency-Key``: it is repeated when its fate is unknown.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        wait, attempts, refusals, begun = FIRST_WAIT, 0, 0, time.monotonic()
        moved = False
        while True:
            self._wait_until(self._not_before)
            try:
                with self._http.stream(
                    method, path, params=given, content=content, headers=headers
                ) as streamed:
                    answer = self._read(streamed, max_bytes or self.MAX_ANSWER)
            except httpx.TransportError as error:
                attempts += 1
                if attempts >= ATTEMPTS or isinstance(error, httpx.UnsupportedProtocol):
                    raise Unreachable(
                        f"{self.target.url} does not answer{self._by}: {printable(_reason(error))}"
                    ) from None
                self._wait_until(time.monotonic() + wait)
                wait *= 2
                continue
            if answer.is_success:
                return answer
            if method == "GET" and not moved and (place := self._moved_to(answer)) is not None:
                path, given, moved = *place, True
                continue
            failure = self._failure(answer)
            if not _is_passing(answer, failure):
                raise failure
            refusals += 1
            pause, wait = max(_retry_after(answer), wait), min(wait * 2, LONGEST_PAUSE)
            waited = time.monotonic() - begun
            busy = answer.status_code in (502, 503, 504)
            if refusals >= REFUSALS or waited + pause > LONGEST_WAIT or (busy and waited >= BUSY_TIMEOUT):
                raise self._given_up(failure, refusals, pause)
            if pause >= 2:
                reason = "too many requests" if answer.status_code == 429 else "the service is busy"
                self.notice(f"{reason}; going on in {pause:.0f} s")
            self._not_before = max(self._not_before, time.monotonic() + pause)

    def _moved_to(self, answer: httpx.Response) -> tuple[str, dict[str, str]] | None:
        """Path and query that a name of before leads to; None for what leads anywhere but to the API of this service."""
        where = urlsplit(answer.headers.get("location", ""))
        path = where.path.removeprefix(urlsplit(self.target.url).path.rstrip("/"))
        if not answer.is_redirect or where.netloc or not path.startswith(self.path("")):
            return None
        return path, dict(parse_qsl(where.query))

    def _read(self, streamed: httpx.Response, max_bytes: int) -> httpx.Response:
        """The answer with its body, of which no more is ever held than it may have. Raises RemoteFailure."""
        encoding = streamed.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise self._not_skald(streamed, f"packs its answer as {encoding[:50]!r}, unasked,")
        unpacker = zlib.decompressobj(GZIP) if encoding == "gzip" else None
        body, deadline = bytearray(), time.monotonic() + MAX_SECONDS
        for data in streamed.iter_raw(READ):
            if unpacker is None:
                body += data
            else:
                try:
                    body += unpacker.decompress(data, max_bytes + 1 - len(body))
                except zlib.error:
                    raise self._not_skald(streamed, "sends gzip that is none") from None
            if len(body) > max_bytes:
                raise self._too_large(streamed, max_bytes)
            if time.monotonic() > deadline:
                raise self._not_skald(streamed, f"takes more than {MAX_SECONDS:.0f} s for one answer")
        headers = [pair for pair in streamed.headers.multi_items() if pair[0] != "content-encoding"]
        return httpx.Response(
            streamed.status_code, headers=headers, content=bytes(body), request=streamed.request
        )

    def decoded(self, answer: httpx.Response, shape: type[T]) -> T:
        """The JSON object of an answer, with all that it has. Raises RemoteFailure when it has not the fields of ``shape``."""
        try:
            found = msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._not_skald(answer)
        return self._shaped(answer, found, shape)

    def _shaped(self, answer: httpx.Response, found: Any, shape: type[T]) -> T:
        try:
            msgspec.convert(found, shape)
        except msgspec.ValidationError as error:
            raise self._not_skald(answer, f"answers with JSON of another kind ({printable(error)})") from None
        shaped: T = found
        return shaped

    # How it fails

    def _wait_until(self, deadline: float) -> None:
        if self._stopped.wait(max(0.0, deadline - time.monotonic())):
            raise Unreachable("interrupted", code="interrupted")

    def _given_up(self, failure: RemoteFailure, refusals: int, pause: float) -> RemoteFailure:
        """The last answer of a service that said "not now" again and again, or for too long."""
        tried = f"it was asked {refusals} times" if refusals > 1 else "it was asked once"
        later = f", and is to be asked again in {pause:,.0f} s" if pause > LONGEST_PAUSE else ""
        return RemoteFailure(
            f"{failure} ({self._shown(self.target.url)}: {tried}{later})",
            status=failure.status,
            code=failure.code,
            attr=failure.attr,
            extra=failure.extra,
        )

    def _failure(self, answer: httpx.Response) -> RemoteFailure:
        if answer.is_redirect:
            return self._not_skald(answer, f"sends us to {answer.headers.get('location', 'elsewhere')[:200]}")
        try:
            error = msgspec.json.decode(answer.content)
            detail, code = str(error.pop("detail")), str(error.pop("code"))
        except (
            msgspec.DecodeError,
            UnicodeDecodeError,
            RecursionError,
            KeyError,
            AttributeError,
            TypeError,
        ):
            return self._not_skald(answer)
        attr = error.pop("attr", None)
        error.pop("type", None)
        return RemoteFailure(
            self._shown(f"{detail}{self._advice(answer.status_code, code, error)}"),
            status=answer.status_code,
            code=code,
            attr=attr if isinstance(attr, str) else None,
            extra=error,
        )

    def _advice(self, status: int, code: str, error: dict[str, Any]) -> str:
        if status == 401:
            return f" ({self.target.url}; {self.KEY_ADVICE})"
        suggestions = None if "renamed_to" in error else error.get("suggestions")
        if status == 404 and isinstance(suggestions, list) and suggestions:
            return f" Did you mean {' or '.join(map(str, suggestions))}?"
        versions = error.get("available_versions")
        if code == "version_not_found" and isinstance(versions, list):
            return f" There are: {', '.join(map(str, versions))}."
        return ""

    def _too_large(self, answer: httpx.Response, max_bytes: int) -> RemoteFailure:
        return self._not_skald(answer, f"answers with more than {max_bytes:,} bytes")

    def _not_skald(self, answer: httpx.Response, what: str = "") -> RemoteFailure:
        return RemoteFailure(
            self._shown(self._oddity(answer, what)),
            status=answer.status_code,
            code=self.ODD,
            attr=None,
            extra={},
        )

    def _oddity(self, answer: httpx.Response, what: str) -> str:
        return f"{self.target.url}{self._by} {what or kind_of(answer)} and {self.ADDRESS_ADVICE}"

    def _shown(self, text: str) -> str:
        """What the service says, as it may be printed: it knows the key, and may send it back."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return printable(text)


def quote_part(text: str) -> str:
    """Any text as one part of a path."""
    return quote(text, safe="")


def _is_passing(answer: httpx.Response, failure: RemoteFailure) -> bool:
    """Whether the same request may be answered later."""
    return answer.status_code in (429, 502, 503, 504) or failure.code == "request_in_progress"


def _retry_after(answer: httpx.Response) -> float:
    """Seconds to wait by the answer's Retry-After, a number or a date; 0 without one that can be read."""
    text = answer.headers.get("retry-after", "")[:MAX_RETRY_AFTER]
    if text.isascii() and text.isdigit():
        return min(float(text), 10**9)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def kind_of(answer: httpx.Response) -> str:
    kind = answer.headers.get("content-type", "no content type").split(";")[0][:100]
    return f"answers {answer.status_code} with {kind}"


def _reason(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectTimeout() | httpx.ReadTimeout() | httpx.WriteTimeout() | httpx.PoolTimeout():
            return "it takes too long"
        case httpx.ConnectError():
            return str(error) or "no connection"
    return str(error) or type(error).__name__


def _proxy_of(url: str) -> str:
    """`` through the proxy …`` where the environment puts one between here and the service; its password is not shown."""
    split = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(split.hostname or ""):
        return ""
    shown = printable(proxy.rpartition("@")[2].rpartition("://")[2])
    return f" through the proxy {shown} (of {split.scheme.upper()}_PROXY or ALL_PROXY)"
