"""What only a real server shows: raw paths, HEAD, odd bytes, chunks."""

import json
import socket

import pytest

from tests.support.service import MakeService, Service
from tests.support.space import file, skill


class Wire:
    """Requests as bytes on a socket, in a project with one skill."""

    def __init__(self, service: Service) -> None:
        self.port = service.port
        self.key = service.key
        self.project_id = service.make_project().id
        files = [file("dir/a b.txt", "here"), file("a%2Fb", "literal"), file("é", "accent")]
        status, _, body = self.send("POST", "llm_skills/", json.dumps(skill(files=files)).encode())
        assert status == 201, body

    def send(
        self, method: str, path: str, body: bytes = b"", *, head: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        target = path if path.startswith("/") else f"/api/projects/{self.project_id}/{path}"
        request = (
            f"{method} {target} HTTP/1.1\r\nHost: wire.test\r\nConnection: close\r\n"
            f"Authorization: Bearer {self.key}\r\n{head}"
        ).encode("latin-1")
        if body:
            request += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request + b"\r\n" + body)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        top, _, content = received.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(status.split()[1]), headers, content


@pytest.fixture(scope="module")
def wire(running_service: Service) -> Wire:
    return Wire(running_service)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("dir/a%20b.txt", "here"),
        ("dir%2Fa%20b.txt", "here"),
        ("dir%2fa%20b.txt/", "here"),
        ("dir%5Ca%20b.txt?version=1", "here"),
        ("a%252Fb", "literal"),
        ("%C3%A9", "accent"),
        ("d%69r/%61%20b.txt", "here"),
    ],
)
def test_file_paths_on_the_wire(wire: Wire, path: str, content: str) -> None:
    status, _, body = wire.send("GET", f"llm_skills/name/pdf-forms/files/{path}")

    assert (status, json.loads(body)["content"]) == (200, content)


def test_other_letters_of_an_address_may_be_encoded_too(wire: Wire) -> None:
    status, _, body = wire.send("GET", "llm%5Fskills/n%61me/pdf%2Dforms/fil%65s/dir%2Fa%20b.txt")

    assert (status, json.loads(body)["content"]) == (200, "here")


@pytest.mark.parametrize(
    "path",
    [
        "llm_skills/name/a%00b",
        "llm_skills/name/%FF",
        "llm_skills/name/%ED%A0%80",
        "llm_skills/name/%ED%A0%80/files/%FF%00",
        "llm_skills/name/pdf-forms/files/%FF",
        "llm_skills/name/pdf-forms/files/%00",
        "llm_skills/name/pdf-forms/files/%ED%A0%80",
        "llm_skills/name/pdf-forms/files/../../pdf-forms",
        "llm_skills/name/pdf-forms/files/%2e%2e/x",
        "llm_skills/name/pdf-forms/files//x",
        "llm_skills/resolve/name/%00",
        "llm_skills/name/a%2Fb",
        "llm_skills/name/%",
        "llm_skills/name/%zz",
        "llm_skills/%00",
        "/api/projects/%00/llm_skills/",
        "/api/projects/%FF/llm_skills/",
        "/%00%FF",
    ],
)
def test_odd_addresses_are_plain_refusals(wire: Wire, path: str) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        status, _, body = wire.send(method, path)
        assert status in (400, 404, 405), (method, body)
        # What is no HTTP at all, the server answers itself.
        if body.startswith(b"{"):
            assert list(json.loads(body))[:4] == ["type", "code", "detail", "attr"]


@pytest.mark.parametrize(
    "query", ["search=%00", "search=%FF", "search=%ED%A0%80", "%00=%00", "search=%", "&&==", "version=%00"]
)
def test_odd_queries(wire: Wire, query: str) -> None:
    for path in ("", "name/pdf-forms", "resolve/name/pdf-forms", "name/pdf-forms/files/dir/a%20b.txt"):
        assert wire.send("GET", f"llm_skills/{path}?{query}")[0] in (200, 400)


@pytest.mark.parametrize(
    "path", ["", "name/pdf-forms", "name/pdf-forms?version=1", "name/nobody", "resolve/name/pdf-forms"]
)
def test_head_sends_the_length_and_no_body(wire: Wire, path: str) -> None:
    got, head = wire.send("GET", f"llm_skills/{path}"), wire.send("HEAD", f"llm_skills/{path}")

    assert head[2] == b""
    assert head[0] == got[0]
    assert head[1]["content-length"] == got[1]["content-length"] == str(len(got[2]))
    assert head[1].get("etag") == got[1].get("etag")


def test_not_modified_has_no_body(wire: Wire) -> None:
    tag = wire.send("GET", "llm_skills/name/pdf-forms")[1]["etag"]

    status, headers, body = wire.send("GET", "llm_skills/name/pdf-forms", head=f"If-None-Match: {tag}\r\n")

    assert (status, body, headers["etag"]) == (304, b"", tag)


def test_an_archive_answers_without_a_body(wire: Wire) -> None:
    wire.send("POST", "llm_skills/", json.dumps(skill("gone")).encode())

    status, headers, body = wire.send("POST", "llm_skills/name/gone/archive")

    assert (status, body, headers.get("content-length", "0")) == (204, b"", "0")


def test_a_body_in_chunks(wire: Wire) -> None:
    raw = json.dumps(skill("chunked")).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (raw[:7], raw[7:])) + b"0\r\n\r\n"

    target = "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", wire.port), timeout=20) as connection:
        connection.sendall(
            f"POST /api/projects/{wire.project_id}/llm_skills HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {wire.key}\r\n{target}\r\n".encode()
            + chunks
        )
        assert b" 201 " in connection.recv(65536).split(b"\r\n")[0]


def test_links_have_the_host_that_was_asked(wire: Wire) -> None:
    wire.send("POST", "llm_skills/", json.dumps(skill("second")).encode())

    following = json.loads(wire.send("GET", "llm_skills/?limit=1")[2])["next"]

    assert following == f"http://wire.test/api/projects/{wire.project_id}/llm_skills/?limit=1&offset=1"


def test_a_known_read_leaves_an_id_and_a_line_like_any_other(make_service: MakeService) -> None:
    service = make_service()
    with service.client() as client:
        created = client.post("llm_skills/", json=skill())
        missed = client.get("llm_skills/name/nobody", headers={"x-request-id": "missed"})
        full = client.get("llm_skills/name/pdf-forms", headers={"x-request-id": "full"})
        etag = full.headers["etag"]
        unchanged = client.get(
            "llm_skills/name/pdf-forms", headers={"x-request-id": "u", "if-none-match": etag}
        )
        head = client.head("llm_skills/name/pdf-forms", headers={"x-request-id": "head"})
        odd = client.get("llm_skills/name/pdf-forms", headers={"x-request-id": "a b"})
    service.stop()
    lines = [json.loads(line) for line in service.output.splitlines() if '"route"' in line]
    of = {line["request_id"]: line for line in lines}

    assert (created.status_code, missed.status_code) == (201, 404)
    assert [answer.status_code for answer in (full, unchanged, head, odd)] == [200, 304, 200, 200]
    assert [answer.headers["x-request-id"] for answer in (full, unchanged, head)] == ["full", "u", "head"]
    assert unchanged.headers["etag"] == head.headers["etag"] == etag
    assert (unchanged.content, "content-length" in unchanged.headers) == (b"", False)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(full.content)))
    route = "/api/environments/{project_id}/llm_skills/name/{skill_name}"
    for answer, method, size in (
        (full, "GET", len(full.content)),
        (unchanged, "GET", 0),
        (head, "HEAD", 0),
        (odd, "GET", len(full.content)),
    ):
        line = of[answer.headers["x-request-id"]]
        told = {name: line[name] for name in ("method", "route", "status", "bytes", "project_id")}
        assert told == {
            "method": method,
            "route": route,
            "status": answer.status_code,
            "bytes": size,
            "project_id": service.project_id,
        }
        assert line["key_id"] == of[missed.headers["x-request-id"]]["key_id"]
        assert 0 < line["ms"] < 1000


def test_a_publish_in_a_project_that_is_not_there_says_so(running_service: Service) -> None:
    body = {"base_version": 1, "body": "# A\n"}
    with running_service.client(project_id=999_999_999) as client:
        for _ in range(4):
            answer = client.patch("llm_skills/name/pdf-forms", json=body)
            assert (answer.status_code, answer.json()["detail"]) == (404, "There is no project 999999999.")
