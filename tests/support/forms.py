"""The form of a page, filled in as a browser would send it."""

from html.parser import HTMLParser
from typing import Any

import httpx

from tests.support.browsing import ORIGIN, Browser, check_page


class Fields(HTMLParser):
    """The fields of the form with ``data-edit``, or else of the last one, with their values; files are left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.action = ""
        self._textarea: str | None = None
        self._select: str | None = None
        self._is_in = self._is_found = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and not self._is_found and values.get("method") == "post":
            self._is_in, self.action, self.values = True, values["action"], {}
            self._is_found = "edit" in values.get("class", "").split()
        if not self._is_in:
            return
        if tag == "input" and values.get("type") not in ("file", "checkbox"):
            self.values[values["name"]] = values.get("value", "")
        if tag == "input" and values.get("type") == "checkbox" and "checked" in values:
            self.values[values["name"]] = values["value"]
        if tag == "select":
            self._select = values["name"]
        if (
            tag == "option"
            and self._select is not None
            and (self._select not in self.values or "selected" in values)
        ):
            self.values[self._select] = values["value"]
        if tag == "textarea":
            self._textarea = values["name"]
            self.values[self._textarea] = ""

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self.values[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._textarea is not None:
            # A line feed right behind the tag is none of the text; a browser sends CRLF.
            text = self.values[self._textarea].removeprefix("\n")
            self.values[self._textarea] = text.replace("\r\n", "\n").replace("\n", "\r\n")
            self._textarea = None
        if tag == "select":
            self._select = None
        if tag == "form":
            self._is_in = False


async def send(
    browser: Browser,
    page: str,
    do: str,
    *,
    files: dict[str, tuple[str, bytes, str]] | None = None,
    **changed: Any,
) -> httpx.Response:
    """Press a button of the form on the page; ``changed`` are fields by their names, with ``__`` for a point, and ``_`` behind a keyword."""
    form = Fields(page)
    values = {
        **form.values,
        **{name.removesuffix("_").replace("__", "."): value for name, value in changed.items()},
        "do": do,
    }
    parts: Any = [(name, (None, value)) for name, value in values.items() if value is not None]
    parts += list((files or {}).items())
    return await browser.client.post(form.action, files=parts, headers={"Origin": ORIGIN})


async def follow(browser: Browser, answer: httpx.Response) -> str:
    """The page that an answer leads to, by one redirect or two."""
    assert answer.status_code == 303, (answer.status_code, answer.text[:1500])
    shown = await browser.get(answer.headers["location"])
    if shown.status_code == 303:
        shown = await browser.get(shown.headers["location"])
    assert shown.status_code == 200, (shown.status_code, shown.text[:1500])
    check_page(shown)
    return shown.text
