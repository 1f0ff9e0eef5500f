"""Search in everything that skills and prompts say, with the places where it stands."""

import re
from typing import Any

from litestar import Request, Response, get
from markupsafe import Markup

from api.artifacts.waiting import wait_for
from api.http.query import BOOLEANS
from api.http.requests import project_of, query_of
from api.search.controller import MAX_CURSOR, READ, found_by
from console import access
from console.kinds import SHOWN
from console.page import page
from console.text.visible import marked
from projections.declared import SEARCH
from projections.search import find, terms
from projections.search.excerpts import Shown
from projections.search.find import Cursor
from projections.search.terms import MAX_QUERY
from projections.write.search import Field

PAGE = 20  # hits
WORDS = re.compile(r"[^\s\"]+")
MAX_WORDS = 20  # that are marked


@get("/search", opt={"scope": READ})
async def search(request: Request[Any, Any, Any]) -> Response[Any]:
    """It looks through the present: of the past there is no index."""
    query = query_of(request)
    text = query.text("q", max_length=MAX_QUERY)
    chosen = query.choice("kind", SHOWN)
    ever = query.choice("ever", BOOLEANS) == "true"
    cursor = query.text("cursor", max_length=MAX_CURSOR)
    kinds = [
        kind.kind
        for kind in SHOWN.values()
        if chosen in (None, kind.kind) and access.may(request, kind.read_scope)
    ]
    await wait_for(request, query, SEARCH.name, "searched")
    hits: list[Shown] = []
    following: Cursor | None = None
    if text is not None and kinds:
        wanted = find.Query(
            project_id=project_of(request),
            text=text,
            terms=terms.parse(text),
            kinds=kinds,
            fields=tuple(Field),
            ever=ever,
        )
        hits, following = await found_by(
            request, wanted, PAGE, None if cursor is None else Cursor.parse(cursor)
        )
    words = [word for word in WORDS.findall(text or "") if not word.startswith("-")][:MAX_WORDS]

    def mark(excerpt: str) -> Markup:
        return marked(excerpt, words)

    return await page(
        request,
        "search.html",
        active="search",
        text=text or "",
        chosen=chosen,
        ever=ever,
        hits=hits,
        following=following,
        mark=mark,
    )


HANDLERS = (search,)
