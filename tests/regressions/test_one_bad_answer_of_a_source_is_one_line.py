"""A wrong type, a missing field or a page of HTML anywhere in what a source answers ended an import, and all else was not brought.

Each answer of each source is sent with each of its values replaced; what comes is read as an import reads it, without a service to fill.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cli.client.profile import Target
from cli.errors import Failure
from cli.importing import from_langfuse
from cli.importing.elsewhere import Foreign, SourceService
from cli.importing.from_langfuse import LangfuseSource
from cli.importing.from_mlflow import MlflowSource
from cli.importing.from_skald import SkaldSource
from cli.importing.run import listed
from cli.importing.source import Source
from tests.integration.cli.test_import_from_others import (
    KEY,
    Answer,
    Query,
    Serve,
    ada,
    bring,
    langfuse,
    mlflow,
    prompts,
    serve,
)
from tests.support.people import Person

__all__ = ["ada", "serve"]

WRONG: tuple[Any, ...] = (None, -1, 10**40, "", "\x1b[2J", [], {"a": None}, [None])
GONE = object()
URL = "http://source.test"


def skald(path: str, query: Query) -> Any:
    row = {"name": "a", "latest_version": 2, "version_count": 2, "created_at": "2026-03-03T09:30:00.000000Z"}
    lines = [{"version": n, "created_at": row["created_at"], "created_by": {"email": "x"}} for n in (2, 1)]
    skill = {
        **{"version": int(query.get("version") or 1), "name": "a", "description": "D.", "body": "# B\n"},
        "files": [{"path": "f", "size": 1, "content_type": "text/plain", "sha256": ""}],
    }
    answers = {
        "llm_skills/": {"count": 1, "results": [{**row, "tags": ["t"], "all_labels": []}]},
        "resolve/name/a/": {"versions": lines, "has_more": False},
        "llm_skills/name/a/": skill,
        "files/f": {"content": "x"},
    }
    return next((found for end, found in answers.items() if path.endswith(end)), None)


MAKE: dict[str, tuple[Callable[[str], Source], Answer]] = {
    "langfuse": (
        lambda url: LangfuseSource(Foreign(_target(url), called="Langfuse", notice=_quiet)),
        langfuse,
    ),
    "mlflow": (lambda url: MlflowSource(Foreign(_target(url), called="MLflow", notice=_quiet)), mlflow),
    "skald": (
        lambda url: SkaldSource(
            SourceService(_target(url), called="Skald", notice=_quiet),
            ("skill",),
            f"Skald at {url}, project 1",
        ),
        skald,
    ),
}


def _quiet(_: str) -> None:
    pass


def _target(url: str) -> Target:
    return Target(url=url, key=KEY, project="1")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All values of a JSON, by the way to them."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """A copy of a JSON with another value at one place; GONE takes it away."""
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    if by is GONE and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


def inside(make: Callable[[str], Source], answer: Answer) -> Source:
    """A source that is answered in this process: thousands of answers are read."""

    def answered(request: httpx.Request) -> httpx.Response:
        found = answer(request.url.path, dict(request.url.params))
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        return httpx.Response(404 if found is None else 200, stream=httpx.ByteStream(body))

    source: Any = make(URL)
    source.remote._http = httpx.Client(base_url=URL, transport=httpx.MockTransport(answered))
    return source  # type: ignore[no-any-return]


def read(source: Source) -> tuple[int, list[str]]:
    """How many versions come, and why others do not, as an import takes them."""
    came, said = 0, []
    try:
        artifacts, ended = listed(source)
    except Failure as failure:
        return 0, [str(failure)]
    said += [str(failure) for failure in (ended, *(one.broken for one in artifacts)) if failure]
    for artifact in artifacts:
        try:
            for version in artifact.versions():
                try:
                    version.load()
                    came += 1
                except Failure as failure:
                    said.append(str(failure))
        except Failure as failure:
            said.append(str(failure))
    return came, said


@pytest.mark.parametrize("kind", list(MAKE))
def test_whatever_stands_in_an_answer_is_said_on_a_line(kind: str) -> None:
    make, answer = MAKE[kind]
    asked: dict[tuple[str, str], Any] = {}
    wrong: list[tuple[tuple[str, str], tuple[Any, ...], Any]] = [(("", ""), (), None)]

    def maybe_wrong(path: str, query: Query) -> Any:
        of, place, by = wrong[0]
        key = (path, json.dumps(query, sort_keys=True))
        asked.setdefault(key, answer(path, query))
        return json.dumps(replaced(asked[key], place, by)).encode() if key == of else asked[key]

    source = inside(make, maybe_wrong)
    whole, said = read(source)
    assert whole >= 2
    assert said == []
    for key, good in list(asked.items()):
        for place in places(good):
            for by in (*WRONG, *((GONE,) if place else ())):
                wrong[0] = key, place, by
                came, said = read(source)
                assert came <= 2 * whole
                for line in said:
                    assert len(line) < 2000
                    assert "sk-lf" not in line
                    assert not set(line) & set("\n\r\x1b")
    source.close()


@pytest.mark.parametrize("kind", list(MAKE))
@pytest.mark.parametrize(
    "body",
    [b"<html>Sign in</html>", b"", b"\xff\xfe", b"[" * 100_000, b'{"a":"' + b"x" * (33 * 2**20)],
    ids=len,
)
def test_what_is_no_json_names_the_source_and_where(kind: str, body: bytes) -> None:
    make, answer = MAKE[kind]
    came, [line] = read(inside(make, lambda *_: body))
    assert came == 0
    assert f" at {URL}/api/" in line
    assert KEY not in line
    # The same for one version, and the others come.
    one: list[str] = []

    def once(path: str, query: Query) -> Any:
        found = answer(path, query)
        if query.get("version") == "1" and "/files/" not in path:
            one.append(path)
            return body
        return found

    if kind == "mlflow":
        return  # its list tells the texts
    came, [line] = read(inside(make, once))
    assert (came, f"{URL}{one[0]} " in line) == (1, True)


def test_the_field_is_named() -> None:
    def answer(path: str, query: Query) -> Any:
        found = langfuse(path, query)
        return replaced(found, ("createdAt",), 5) if query.get("version") == "2" else found

    came, [line] = read(inside(MAKE["langfuse"][0], answer))
    assert came == 1
    assert line == (
        f"Langfuse at {URL}/api/public/v2/prompts/team/greeter answers with JSON of another kind "
        "(Expected `str`, got `int` - at `$.createdAt`)"
    )


def test_pages_of_langfuse_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_langfuse, "MAX_PAGES", 20)
    for row in ({"name": "a%s"}, None):
        pages: list[str] = []

        def answer(_: str, query: Query, row: Any = row, pages: list[str] = pages) -> Any:
            pages.append(query["page"])
            return json.loads(json.dumps({"data": [row]}).replace("%s", query["page"]))

        found, ended = listed(inside(MAKE["langfuse"][0], answer))
        assert len(found) == len(pages) == 20
        assert "more than 20 pages" in str(ended)


def test_the_rest_is_brought_and_the_report_counts_what_is_not(ada: Person, serve: Serve) -> None:
    def answer(path: str, query: Query) -> Any:
        if path == "/api/public/v2/prompts":
            if query["page"] == "2":
                return b"<html>"
            names = ("good", "half", "bad")
            rows: list[Any] = [{"name": name, "versions": [1, 2], "tags": []} for name in names]
            return {"data": [*rows, {"name": "odd", "versions": "all"}, 5]}
        name, number = path.rpartition("/")[2], int(query["version"])
        if name == "bad" or (name == "half" and number == 1):
            return {"version": number, "labels": None, "prompt": "x"}
        return {"version": number, "prompt": f"{name} {number}", "createdAt": f"2026-03-0{number}T09:30:00Z"}

    server = serve(answer)
    arguments = ("langfuse", server.url, f"--source-key-file={ada.home / 'key'}")
    for brought in (3, 0):
        found = bring(ada, *arguments, code=1)
        assert found["summary"]["brought"] == brought
        assert found["error"]["code"] == "bad_answer"
        assert f"{server.url}/api/public/v2/prompts answers 200" in found["error"]["detail"]
        refused = {
            (one["called"], one["place"]): [(why["code"], why["version"]) for why in one["refused"]]
            for one in found["artifacts"]
            if one["refused"] and one["name"] != "half"
        }
        assert refused == {
            ("bad", ""): [("bad_answer", "1"), ("bad_answer", "2")],
            ("odd", "prompt 4 of the list"): [("bad_answer", None)],
            ("", "prompt 5 of the list"): [("bad_answer", None)],
        }
    assert [one["prompt"] for one in prompts(ada, "good")] == ["good 1", "good 2"]
    assert [one["prompt"] for one in prompts(ada, "half")] == ["half 2"]
    done = ada.skald("import-from", *arguments)
    assert done.returncode == 1
    assert "prompt/prompt 4 of the list: refused, Langfuse at " in done.stderr
    assert done.stderr.endswith("refused; run it again to go on\n")
