"""HTTP to a source: as patient and as wary as that to the service, with the source's own key, which goes to no other host."""

from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from cli.client.profile import Target, checked_key, checked_project, checked_url, is_exposed
from cli.client.remote import Notice, Remote, RemoteFailure, kind_of
from cli.client.remote_options import warn
from cli.importing.source import Unusable
from cli.output import printable

MAX_KEY_FILE = 4096  # bytes
MAX_PATH = 300  # characters of an address in a sentence

T = TypeVar("T")


def key_of(file: Path) -> str:
    """The key that is alone in a file. Raises Failure, which does not show it."""
    with file.open("rb") as opened:
        data = opened.read(MAX_KEY_FILE + 1)
    return checked_key(data.decode("ascii", "replace").strip() if len(data) <= MAX_KEY_FILE else "")


def target_of(url: str, key: str, project: str = "0") -> Target:
    """Raises ProfileError."""
    found = Target(url=checked_url(url), key=key, project=checked_project(project))
    if key and is_exposed(found.url):
        warn(f"{found.url} is plain HTTP: the key can be read on the way; use https if you can")
    return found


class SourceService(Remote):
    """Another service with the API of this one; ``called`` is what people call it.

    What it answers with is about one artifact, and the others may be right, so a failure says at which address that was.
    """

    ODD: ClassVar[str] = "bad_answer"
    MAX_ANSWER: ClassVar[int] = 32 * 2**20
    KEY_ADVICE: ClassVar[str] = "the key of the source is not valid there"

    def __init__(
        self, target: Target, *, called: str, notice: Notice, authorization: str | None = None
    ) -> None:
        super().__init__(target, notice=notice, authorization=authorization)
        self.called = called

    @property
    def title(self) -> str:
        return f"{self.called} at {self.target.url}"

    def json(self, path: str, params: dict[str, Any] | None, shape: Any) -> Any:
        """The JSON of a GET as ``shape``, a Struct. Raises RemoteFailure."""
        answer = self.request("GET", path, params=params)
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except msgspec.ValidationError as error:
            raise self._not_skald(answer, f"answers with JSON of another kind ({printable(error)})") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._not_skald(answer) from None

    def _oddity(self, answer: httpx.Response, what: str) -> str:
        path = answer.request.url.path.removeprefix(urlsplit(self.target.url).path)
        advice = "" if what else "; is that the address of the source?"
        return f"{self.title}{path[:MAX_PATH]}{self._by} {what or kind_of(answer)}{advice}"


class Foreign(SourceService):
    """A service with an API of its own."""

    def _failure(self, answer: httpx.Response) -> RemoteFailure:
        if answer.is_redirect:
            return super()._failure(answer)
        text = " ".join(answer.content[:300].decode("utf-8", "replace").split())
        advice = f" ({self.KEY_ADVICE})" if answer.status_code in (401, 403) else ""
        return RemoteFailure(
            self._shown(f"{self.title} answers {answer.status_code}: {text}{advice}"),
            status=answer.status_code,
            code="failed",
            attr=None,
            extra={},
        )


def row_of(row: Any, shape: type[T], where: str) -> T:
    """A row of a list as ``shape``. Raises Unusable: the other rows may be right."""
    try:
        return msgspec.convert(row, shape)
    except msgspec.ValidationError as error:
        raise Unusable(f"{where} is of another kind ({printable(error)})", code="bad_answer") from None
