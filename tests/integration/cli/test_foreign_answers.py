"""What answers at the address need not be the service: the commands stay on their line, end, and say what is wrong."""

import contextlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import commands
from tests.support.people import Person
from tests.support.servers import ROOT, SKALD, free_port
from tests.support.service import Service

EVIL = "a\x1b[2J\x9b31m\u202egnp.exe\nskald: all is well\r\x07"
# What no output may hold, whatever was sent.
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

Answer = Callable[[str], tuple[int, bytes]]
Run = subprocess.CompletedProcess[str]


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server that answers every request by its path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def always(value: Any, status: int = 200) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda _: (status, body)


def skald(home: Path, url: str, *arguments: str, stdin: str = "", **env: str) -> Run:
    """A command against ``url``; it never ends in a traceback."""
    shown = {name: text for name, text in os.environ.items() if not name.upper().endswith("_PROXY")}
    done = commands.run(
        *arguments,
        env={
            **shown,
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "SKALD_URL": url,
            "SKALD_KEY": "sk_x",
            "SKALD_PROJECT": "1",
            **env,
        },
        cwd=home,
        stdin=stdin,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def fails_in_one_line(done: Run, says: str) -> None:
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("skald: ")
    assert says in line


ROW = {"name": EVIL, "latest_version": 1, "updated_at": EVIL, "description": EVIL, "digest": EVIL}
AUTHOR = {"first_name": EVIL, "last_name": EVIL, "email": EVIL}
VERSION = {
    **{"name": EVIL, "version": 1, "latest_version": 1, "updated_at": EVIL, "created_by": AUTHOR},
    **{"description": EVIL, "license": EVIL, "allowed_tools": [EVIL], "labels": [EVIL], "digest": EVIL},
    **{"body": "text\n", "prompt": "text\n", "files": [{"path": EVIL, "size": 1}]},
    "spec_problems": [{"path": EVIL, "message": EVIL}],
}
CHANGES = {
    "fields": [EVIL],
    "content": None,
    "files": {
        "added": [{"path": EVIL}],
        "removed": [],
        "renamed": [{"old_path": EVIL, "path": EVIL}],
        "edited": [],
    },
    "labels": [{"name": EVIL, "from": None, "to": 1}],
    "reverted_to": None,
    "source": {"name": EVIL, "version": 1},
}
ENTRY = {
    **{"time": EVIL, "type": EVIL, "actor": AUTHOR, "version_before": None, "version_after": 1},
    "changes": CHANGES,
}


@pytest.mark.parametrize(
    ("arguments", "answer", "lines"),
    [
        (["list"], {"count": 1, "results": [{**ROW, "created_by": AUTHOR}]}, 2),
        (["show", "x"], VERSION, 14),
        (["log", "x"], {"count": 1, "results": [ENTRY]}, 6),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_no_field_of_an_answer_reaches_the_terminal_raw(
    tmp_path: Path, arguments: list[str], answer: Any, lines: int
) -> None:
    with answering(always(answer)) as url:
        done = skald(tmp_path, url, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert not HARMFUL.search(done.stdout)
    assert "\\x1b[2J" in done.stdout
    assert "\\u202e" in done.stdout
    assert len(done.stdout.splitlines()) <= lines
    assert not any(line.startswith("skald: all") for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["diff", "x"], ["pull", "--all"]])
def test_no_error_of_an_answer_reaches_the_terminal_raw(tmp_path: Path, command: list[str]) -> None:
    error = {"type": EVIL, "code": EVIL, "detail": EVIL, "attr": EVIL, "suggestions": [EVIL]}
    with answering(always(error, 404)) as url:
        done = skald(tmp_path, url, *command)
    assert not HARMFUL.search(done.stdout + done.stderr)
    fails_in_one_line(done, "\\x1b[2J") if command[0] != "pull" else None


def test_what_login_shows_and_keeps_is_what_it_understands(tmp_path: Path) -> None:
    found: dict[str, Any] = {"email": EVIL, "scopes": [EVIL], "id": 1, "name": EVIL}
    with answering(lambda _: (200, json.dumps(found).encode())) as url:
        done = skald(tmp_path, url, "login", f"--url={url}", "--key-stdin", stdin="sk_x\n")
        assert (done.returncode, HARMFUL.search(done.stdout)) == (0, None)
        assert len(done.stdout.splitlines()) == 2
        (tmp_path / ".config/skald/config.toml").unlink()
        for wrong in ({"id": "1]"}, {"id": -1}, {"id": 10**30}, {"id": 7}, {"scopes": 5}, {"email": None}):
            before = dict(found)
            found.update(wrong)
            done = skald(tmp_path, url, "login", f"--url={url}", "--key-stdin", stdin="sk_x\n")
            fails_in_one_line(done, url)
            found.update(before)
    assert not (tmp_path / ".config/skald/config.toml").exists()


@pytest.mark.parametrize(
    "address", ["http://[", "http://a b", "http://x\x7f.org", "http://\U0001f600.org", "["]
)
def test_an_address_that_cannot_be_kept_is_refused(tmp_path: Path, address: str) -> None:
    done = skald(tmp_path, address, "login", f"--url={address}", "--key-stdin", stdin="sk_x\n")
    assert done.returncode == 2
    assert "the address of a service looks like" in done.stderr
    assert skald(tmp_path, address, "list").returncode == 2


def test_a_key_that_is_no_text_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [*SKALD, "login", "--url=http://127.0.0.1:1", "--key-stdin"],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        input=b"\xff\xfe\x00sk",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"skald: a key is one line")


MALFORMED = [
    *(b"", b"<html>", b"[]", b"3", b"null", b"{}", b'{"count":1}', b'{"count":"1","results":[]}'),
    *(b'{"count":1,"results":{}}', b'{"count":1,"results":[3]}', b'{"count":1,"results":[{"name":4}]}'),
    *(b"\xff\xfe", b'{"count":' + b"[" * 200_000, b'{"count":-1,"results":[]}'),
]
COMMANDS = [["list"], ["show", "x"], ["log", "x"], ["pull"], ["show", "x", "--file=a"]]


# Every command reads by the same rules: one of them gets all, each of the others some.
@pytest.mark.parametrize(
    ("command", "body"),
    [
        (command, body)
        for turn, command in enumerate(COMMANDS)
        for place, body in enumerate(MALFORMED)
        if turn == 0 or place % (len(COMMANDS) - 1) == turn - 1
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else " ".join(value),
)
def test_a_malformed_answer_is_one_line(tmp_path: Path, command: list[str], body: bytes) -> None:
    with answering(always(body)) as url:
        fails_in_one_line(skald(tmp_path, url, *command), "is no Skald service there")


def test_a_file_in_bad_base64_is_one_line(tmp_path: Path) -> None:
    with answering(always({"content": "a", "encoding": "base64"})) as url:
        fails_in_one_line(skald(tmp_path, url, "show", "x", "--file=a"), "base64")


def test_a_list_without_end_ends(tmp_path: Path) -> None:
    row = {"name": "a", "latest_version": 1, "updated_at": "2026-01-01T00:00:00Z", "digest": "d"}
    page = {"count": 10**9, "next": "http://x/", "results": [row]}
    with answering(always(page)) as url:
        fails_in_one_line(skald(tmp_path, url, "list"), "the same page")
    asked = 0

    def other_rows(_: str) -> tuple[int, bytes]:
        nonlocal asked
        asked += 1
        return 200, json.dumps({**page, "results": [{**row, "name": f"a{asked}"}]}).encode()

    with answering(other_rows) as url:
        fails_in_one_line(skald(tmp_path, url, "list"), "pages")
    assert asked == 2000


def test_a_dead_proxy_is_named(tmp_path: Path) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    done = skald(tmp_path, "http://skald.example", "list", HTTP_PROXY=f"http://me:secret@{proxy}")
    fails_in_one_line(done, f"http://skald.example does not answer through the proxy {proxy}")
    assert "secret" not in done.stderr
    wrong = skald(tmp_path, "http://skald.example", "list", HTTP_PROXY="gopher://x")
    assert wrong.returncode == 2
    assert "through the proxy x" in wrong.stderr
    with answering(always({"count": 0, "results": []})) as url:
        assert (
            skald(tmp_path, url, "list", HTTP_PROXY=f"http://{proxy}", NO_PROXY="127.0.0.1").returncode == 0
        )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_a_console_that_is_not_utf8_gets_escapes(
    running_service: Service, tmp_path: Path, encoding: str
) -> None:
    person = Person(running_service, tmp_path)
    person.write_skill("greeting", "# Grüße 文 😀\n")
    person.env["PYTHONIOENCODING"] = encoding
    for arguments in (
        ["push", "skills"],
        ["show", "greeting"],
        ["list"],
        ["show", "x文"],
        ["diff", "greeting"],
    ):
        done = subprocess.run(
            person.command(*arguments),
            env=person.env,
            cwd=person.work,
            capture_output=True,
            timeout=90,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr
    if encoding == "utf-16":
        return
    raw = subprocess.run(
        person.command("show", "greeting", "--json"),
        env=person.env,
        cwd=person.work,
        capture_output=True,
        timeout=90,
        check=True,
    ).stdout
    assert json.loads(raw.decode("ascii"))["body"] == "# Grüße 文 😀\n"


def test_the_commands_print_through_one_place() -> None:
    """A line that click or print writes would pass `printable` by."""
    for file in [*(ROOT / "cli" / "client").glob("*.py"), ROOT / "cli" / "operator" / "identity.py"]:
        assert not re.search(r"(?<![\w.])print\(|\becho\(", file.read_text()), file
