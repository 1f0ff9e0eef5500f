"""A browser without an engine: cookies, forms and what it says of where a request comes from."""

import re
from html.parser import HTMLParser
from typing import Any

import httpx

from console.access import COOKIE

ORIGIN = "http://skald.test"
LEADS = re.compile(r"/|#|\?|https?://|mailto:")


class Tags(HTMLParser):
    """Finds in a page what would run, or lead where no page may."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        wrong = [name for name in values if name.startswith("on") or name == "style"]
        wrong += [
            f"{name}={values[name]}"
            for name in ("href", "src", "action", "formaction")
            if values.get(name) and not LEADS.match(values[name] or "")
        ]
        if wrong or tag in ("style", "iframe", "object", "base") or (tag == "script" and "src" not in values):
            self.wrong.append(f"<{tag}> {wrong}")


class Browser:
    """Requests of one browser to the console of an application; paths are below the project unless they start with a slash."""

    def __init__(self, app: Any, project_id: int, *, peer: str = "127.0.0.1") -> None:
        self.project_id = project_id
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=(peer, 50_000)), base_url=ORIGIN
        )

    def sign_in(self, secret: str) -> None:
        self.client.cookies.set(COOKIE, secret)

    def address(self, path: str) -> str:
        return path if path.startswith("/") else f"/console/projects/{self.project_id}/{path}"

    async def get(self, path: str = "", **options: Any) -> httpx.Response:
        return await self.client.get(self.address(path), **options)

    async def page(self, place: str = "", /, **query: Any) -> str:
        """The text of a page, whose headers and form are checked on the way."""
        answer = await self.get(place, params=query or None)
        assert answer.status_code == 200, (answer.status_code, answer.text[:2000])
        check_page(answer)
        return answer.text

    async def post(
        self, path: str, data: dict[str, Any] | None = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A form that is sent by a page of the console."""
        return await self.client.post(
            self.address(path), data=data or {}, headers={"Origin": ORIGIN} if headers is None else headers
        )


def check_page(answer: httpx.Response) -> None:
    """What holds for every page of the console."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"
    tags = Tags()
    tags.feed(answer.text)
    assert tags.wrong == []
