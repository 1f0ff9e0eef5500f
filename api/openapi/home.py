"""`/`: what this is and where to go, as a page for a browser and as JSON for anything else. No key is needed.

A browser that is signed in to the console is led there.
"""

from html import escape
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get

from api.http.requests import base, header_of, public
from api.http.responses import VARY_ACCEPT, Answer, json_answer, to_response
from api.openapi.reference import FRESH, STATIC, file_answer
from domain.artifacts.kinds import KINDS

HTML = b"text/html"
CONSOLE = "/console/"
# Cookies of the console; whether one is good shows there.
SIGNED_IN = {"skald_console", "__Host-skald_console"}
VARY_PAGE = (b"vary", b"accept, cookie")
# Below the address of the service; what the page links to.
LINKS = {
    "reference": "/schema/",
    "openapi": "/schema/openapi.json",
    "project": "/api/projects/@current/",
    **{f"{kind.KIND}s": f"/api/projects/@current/{kind.RESOURCE}/" for kind in KINDS.values()},
    "mcp": "/mcp",
    "console": CONSOLE,
    "health": "/healthz",
    "readiness": "/readyz",
    "metrics": "/metrics",
}


class HomeController(Controller):
    path = "/"
    include_in_schema = False

    @get()
    async def home(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        address = base(request)
        if HTML in (header_of(request, b"accept") or b"").lower():
            if SIGNED_IN & request.cookies.keys():
                there = public(request).prefix(request.scope) + CONSOLE
                fields = [(b"location", there.encode()), (b"cache-control", b"no-store"), VARY_PAGE]
                return to_response(Answer(303, fields, b""))
            # The browser knows the scheme and host by which it came, also through a proxy that does not tell them.
            places = {"{{base}}": address, "{{prefix}}": public(request).prefix(request.scope)}
            page = (STATIC / "home.html").read_text()
            for mark, place in places.items():
                page = page.replace(mark, escape(place))
            return file_answer(request, page.encode(), b"text/html; charset=utf-8", extra=[VARY_PAGE])
        body = {
            "name": "skald",
            "version": version("skald"),
            "links": {name: address + path for name, path in LINKS.items()},
        }
        return to_response(
            json_answer(
                msgspec.json.encode(body),
                header_of(request, b"if-none-match"),
                cache_control=FRESH,
                extra=[VARY_ACCEPT],
            )
        )
