"""`skald import-from` and what others answer: MLflow and Langfuse by recorded shapes, and sources that mean no good.

The answers of MLflow are those of a server of 3.17.2, shortened; those of Langfuse are of its published API.
"""

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.integration.cli.test_foreign_answers import HARMFUL
from tests.support.people import Person
from tests.support.service import Service

Query = dict[str, str]
Answer = Callable[[str, Query], Any]
KEY = "pk-lf-1234:sk-lf-5678"


class Elsewhere:
    """A server that answers a GET by its path and query, with JSON or bytes; ``headers`` are those of the requests that it had."""

    def __init__(self, answer: Answer) -> None:
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                split = urlsplit(self.path)
                outer.headers.append(dict(self.headers))
                query = {name: values[0] for name, values in parse_qs(split.query).items()}
                found = answer(unquote(split.path), query)
                status = (
                    404 if found is None else found.pop("_status", 200) if isinstance(found, dict) else 200
                )
                body = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", found["to"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


Serve = Callable[[Answer], Elsewhere]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Elsewhere] = []

    def start(answer: Answer) -> Elsewhere:
        started.append(Elsewhere(answer))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    person = Person(running_service, tmp_path, scopes=("*",))
    (tmp_path / "key").write_text(f"{KEY}\n")
    return person


def bring(ada: Person, *arguments: str, code: int = 0) -> Any:
    done = ada.skald("import-from", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    for secret in (*KEY.split(":"), b64encode(KEY.encode()).decode()):
        assert secret not in done.stdout + done.stderr
    assert not HARMFUL.search(done.stderr)
    return json.loads(done.stdout)


def prompts(ada: Person, name: str) -> list[Any]:
    with ada.service.client(ada.key, ada.project_id) as http:
        latest = http.get(f"llm_prompts/name/{name}").json()["latest_version"]
        return [
            http.get(f"llm_prompts/name/{name}", params={"version": n}).json() for n in range(1, latest + 1)
        ]


def tags(**values: str) -> list[dict[str, str]]:
    return [{"key": key.replace("__", "."), "value": value} for key, value in values.items()]


IS_PROMPT = {"mlflow__prompt__is_prompt": "true"}
MODELS = [
    {
        "name": "chat",
        "tags": tags(**IS_PROMPT, _mlflow_experiment_ids=",0,"),
    },
    {
        "name": "greet.er",
        "creation_timestamp": 1796055528010,
        "description": "first",
        "tags": tags(**IS_PROMPT, lang="en", team="core"),
        "aliases": [{"alias": "production", "version": "1"}, {"alias": "Best One", "version": "2"}],
    },
]
VERSIONS = {
    "greet.er": [
        {
            **{
                "name": "greet.er",
                "version": "2",
                "creation_timestamp": 1796055528518,
                "description": "second",
            },
            "tags": tags(**IS_PROMPT, _mlflow_prompt_type="text", mlflow__prompt__text="Hi {{name}}!"),
        },
        {
            **{
                "name": "greet.er",
                "version": "1",
                "creation_timestamp": 1796055528154,
                "description": "first",
            },
            "tags": tags(**IS_PROMPT, _mlflow_prompt_type="text", mlflow__prompt__text="Hello {{name}}"),
        },
    ],
    "chat": [
        {
            **{"name": "chat", "version": "1", "creation_timestamp": 1796055530341, "description": ""},
            "tags": tags(
                **IS_PROMPT,
                _mlflow_prompt_type="chat",
                mlflow__prompt__text='[{"role": "system", "content": "You are {{x}}"}]',
                _mlflow_prompt_response_format='{"type": "object"}',
                _mlflow_prompt_model_config='{"temperature": 0.5}',
            ),
        }
    ],
}


def mlflow(path: str, query: Query) -> Any:
    def page(field: str, rows: list[Any]) -> Any:
        token = query.get("page_token", "")
        at = int(token) if token.isdigit() else 0
        more = {"next_page_token": str(at + 1)} if at + 1 < len(rows) else {}
        return {field: rows[at : at + 1], **more}

    if path == "/api/2.0/mlflow/registered-models/search":
        assert "mlflow.prompt.is_prompt" in query["filter"]
        return page("registered_models", MODELS)
    name = query["filter"].split("'")[1]
    return page("model_versions", VERSIONS.get(name, []))


def test_mlflow(ada: Person, serve: Serve) -> None:
    source = serve(mlflow)
    answer = bring(ada, "mlflow", source.url, code=1)
    assert answer["summary"] == {"brought": 3, "there": 0, "marks": 2, "archived": 0, "refused": 1}
    assert "Authorization" not in source.headers[0]
    first, second = prompts(ada, "greet-er")
    assert [first["prompt"], second["prompt"]] == ["Hello {{name}}", "Hi {{name}}!"]
    assert first["version_description"] == "imported: unknown, 2026-11-30T16:18:48.154000Z\nfirst"
    assert (first["labels"], first["tags"]) == (["production"], ["lang:en", "team:core"])
    [chat] = prompts(ada, "chat")
    assert chat["prompt"] == [{"role": "system", "content": "You are {{x}}"}]
    assert chat["config"] == {"model_config": {"temperature": 0.5}, "response_format": {"type": "object"}}
    assert bring(ada, "mlflow", source.url, code=1)["summary"]["brought"] == 0


def langfuse(path: str, query: Query) -> Any:
    texts = ["One {{x}}", [{"role": "user", "content": "Two"}]]
    if path == "/api/public/v2/prompts":
        rows = [{"name": "team/greeter", "versions": [2, 1], "labels": ["latest"], "tags": ["Chat"]}]
        meta = {"page": 1, "limit": 100, "totalItems": 1, "totalPages": 1}
        return {"data": rows if query["page"] == "1" else [], "meta": meta}
    if path == "/api/public/v2/prompts/team/greeter":
        assert query["resolve"] == "false"
        number = int(query["version"])
        return {
            **{"id": f"id-{number}", "name": "team/greeter", "version": number, "prompt": texts[number - 1]},
            **{"type": "text" if number == 1 else "chat", "config": {} if number == 1 else {"model": "m"}},
            "labels": ["production"] if number == 1 else ["latest"],
            "tags": ["Chat"],
            "commitMessage": None if number == 1 else "as a chat",
            **{"createdAt": f"2026-03-0{number}T09:30:00.000Z", "createdBy": "API"},
        }
    return None


def test_langfuse(ada: Person, serve: Serve) -> None:
    source = serve(langfuse)
    arguments = ("langfuse", source.url, f"--source-key-file={ada.home / 'key'}")
    answer = bring(ada, *arguments)
    assert answer["summary"] == {"brought": 2, "there": 0, "marks": 2, "archived": 0, "refused": 0}
    assert source.headers[0]["Authorization"] == f"Basic {b64encode(KEY.encode()).decode()}"
    first, second = prompts(ada, "team-greeter")
    assert (first["prompt"], first["config"], first["labels"]) == ("One {{x}}", None, ["production"])
    assert (second["prompt"], second["config"]) == ([{"role": "user", "content": "Two"}], {"model": "m"})
    assert second["version_description"] == "imported: API, 2026-03-02T09:30:00.000Z\nas a chat"
    assert first["tags"] == ["chat"]
    assert bring(ada, *arguments)["summary"] == {
        "brought": 0,
        "there": 2,
        "marks": 0,
        "archived": 0,
        "refused": 0,
    }


# What PostHog's published page has, and nothing else.
PUBLISHED = (
    *("id", "name", "description", "body", "license", "compatibility", "allowed_tools", "metadata", "files"),
    *(
        "outline",
        "version",
        "created_by",
        "created_at",
        "updated_at",
        "deleted",
        "is_latest",
        "latest_version",
    ),
    *("version_count", "first_version_created_at", "path", "content", "content_type", "prompt"),
    *("count", "next", "previous", "results", "skill", "versions", "has_more"),
    *("first_name", "last_name", "email"),
)


def test_posthog_needs_no_more_than_it_publishes(ada: Person, running_service: Service, serve: Serve) -> None:
    project = running_service.make_project().id
    key = running_service.make_key(("*",), [project])
    skill = {"name": "pdf", "description": "D.", "body": "# 1\n", "files": [{"path": "a", "content": "A"}]}
    with running_service.client(key, project) as http:
        http.post("llm_skills/", json=skill).raise_for_status()
        http.patch("llm_skills/name/pdf", json={"body": "# 2\n", "base_version": 1}).raise_for_status()
        http.post("llm_prompts/", json={"name": "Ask", "prompt": {"a": 1.50}}).raise_for_status()

        def published(found: Any) -> Any:
            if isinstance(found, list):
                return [published(one) for one in found]
            if isinstance(found, dict):
                shown = {name: value for name, value in found.items() if name in PUBLISHED}
                return {
                    name: value if name in ("metadata", "prompt") else published(value)
                    for name, value in shown.items()
                }
            return found

        def posthog(path: str, query: Query) -> Any:
            answer = http.get(f"{running_service.base_url}{path}", params=query)
            return published(answer.json()) if answer.is_success else None

        source = serve(posthog)
        arguments = (
            "posthog",
            source.url,
            f"--source-project={project}",
            f"--source-key-file={ada.home / 'key'}",
        )
        assert bring(ada, *arguments)["summary"] == {
            "brought": 3,
            "there": 0,
            "marks": 0,
            "archived": 0,
            "refused": 0,
        }
        assert bring(ada, *arguments)["summary"]["brought"] == 0
    assert (ada.get("name/pdf")["body"], ada.get("name/pdf/files/a")["content"]) == ("# 2\n", "A")
    assert [one["prompt"] for one in prompts(ada, "Ask")] == [{"a": 1.5}]


# Sources that mean no good

ROW = {"name": "a", "latest_version": 1, "created_at": "2026-03-03T09:30:00.000000Z"}
LINE = {"version": 1, "created_at": ROW["created_at"], "created_by": {"email": "\x1b[2J, x>"}}
EVIL = "../../etc/passwd"


def skald(version: Any, *, more: Answer = lambda *_: None) -> Answer:
    def answer(path: str, query: Query) -> Any:
        if (found := more(path, query)) is not None:
            return found
        if path.endswith("/llm_skills/"):
            return {"count": 1, "results": [ROW]}
        if "/resolve/" in path:
            return {"versions": [LINE], "has_more": False}
        return dict(version) if path.rstrip("/").endswith("/name/a") else None

    return answer


GOOD = {"version": 1, "name": "a", "description": "D.", "body": "# B\n"}


def endless(path: str, query: Query) -> Any:
    if path.endswith("/llm_skills/"):
        at = int(query["offset"])
        return {"count": 10**9, "results": [{**ROW, "name": f"a{at}"}] * 1000}
    return None


def same_versions(path: str, _: Query) -> Any:
    return {"versions": [LINE], "has_more": True} if "/resolve/" in path else None


def echo(path: str, _: Query) -> Any:
    if path.endswith("/llm_skills/"):
        return {"_status": 400, "type": "x", "code": "x", "detail": f"\x1b[2J your key is {KEY}"}
    return None


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (skald({**GOOD, "files": [{"path": EVIL}]}), "no more"),
        (skald({**GOOD, "version": 2}), "answers with version 2"),
        (skald({**GOOD, "body": 1}), "(Expected `str`, got `int` - at `$.body`)"),
        (skald({**GOOD, "files": [{"path": "a", "size": 10**12}]}), "larger than a request"),
        (skald(GOOD, more=same_versions), "in no order"),
        (skald(GOOD, more=echo), "your key is [key]"),
        (skald(GOOD, more=endless), "more than"),
    ],
)
def test_a_source_that_means_no_good_fails_on_a_line(
    ada: Person, serve: Serve, answer: Answer, says: str
) -> None:
    source = serve(answer)
    arguments = (
        "skald",
        source.url,
        "--source-project=1",
        f"--source-key-file={ada.home / 'key'}",
        "--kind=skill",
    )
    assert says in json.dumps(bring(ada, *arguments, code=1))
    with ada.service.client(ada.key, ada.project_id) as http:
        assert http.get("llm_skills/").json()["count"] == 0


def test_the_key_goes_to_no_other_address(ada: Person, serve: Serve) -> None:
    other = serve(lambda *_: {"count": 0, "results": []})
    source = serve(lambda *_: {"_status": 302, "to": f"{other.url}/api/projects/1/llm_skills/"})
    arguments = ("skald", source.url, "--source-project=1", f"--source-key-file={ada.home / 'key'}")
    assert "sends us to" in bring(ada, *arguments, code=1)["error"]["detail"]
    assert other.headers == []


def test_who_wrote_it_is_one_line_whatever_it_says(ada: Person, serve: Serve) -> None:
    source = serve(skald({**GOOD, "version_description": "x" * 1000}))
    arguments = (
        "skald",
        source.url,
        "--source-project=1",
        f"--source-key-file={ada.home / 'key'}",
        "--kind=skill",
    )
    bring(ada, *arguments)
    made = ada.get("name/a")["version_description"]
    assert made.startswith(f"imported: <[2Jx>, {ROW['created_at']}\nxxx")
    assert len(made) == 400
    assert bring(ada, *arguments)["summary"]["brought"] == 0
