"""HTTP to a source: as patient and as wary as that to the service, with the source's own key, which goes to no other host."""

from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec

from cli.client.profile import Target, checked_key, checked_project, checked_url, is_exposed
from cli.client.remote import Remote, RemoteFailure
from cli.client.remote_options import warn
from cli.errors import Failure

MAX_KEY_FILE = 4096  # bytes


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
    """Another service with the API of this one."""

    KEY_ADVICE: ClassVar[str] = "the key of the source is not valid there"
    ADDRESS_ADVICE: ClassVar[str] = "is no such service there; check the address of the source"


class Foreign(SourceService):
    """A service with an API of its own."""

    def json(self, path: str, params: dict[str, Any] | None, shape: Any) -> Any:
        """The JSON of a GET as ``shape``, a Struct. Raises Failure."""
        answer = self.request("GET", path, params=params)
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Failure(
                self._shown(f"{self.target.url} answers {path} with something else than expected: {error}"),
                code="bad_answer",
            ) from None

    def _failure(self, answer: httpx.Response) -> RemoteFailure:
        if answer.is_redirect:
            return super()._failure(answer)
        text = " ".join(answer.content[:300].decode("utf-8", "replace").split())
        advice = f" ({self.KEY_ADVICE})" if answer.status_code in (401, 403) else ""
        return RemoteFailure(
            self._shown(f"{self.target.url} answers {answer.status_code}: {text}{advice}"),
            status=answer.status_code,
            code="failed",
            attr=None,
            extra={},
        )
