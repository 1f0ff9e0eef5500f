"""`skald push`: folders become skills, once each, and only as far as they changed."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.people import Person, outcomes
from tests.support.service import Service


@pytest.fixture
def ada(running_service: Service, tmp_path: Path) -> Person:
    return Person(running_service, tmp_path)


@pytest.fixture
def relay(running_service: Service) -> Iterator["Relay"]:
    found = Relay(running_service.base_url)
    yield found
    found.server.shutdown()


def test_only_what_changed_is_published(ada: Person) -> None:
    ada.write_skill("one", files={"lib/a.txt": b"a"})
    two = ada.write_skill("two")
    assert outcomes(ada.json("push", "skills")) == {"one": "created", "two": "created"}
    again = ada.skald("push", "skills")
    assert (again.returncode, again.stdout, again.stderr) == (0, "2 unchanged\n", "")

    (two / "SKILL.md").write_text("---\nname: two\ndescription: Does it.\nlicense: MIT\n---\n# Two\n")
    ada.write_skill("one", files={"new.txt": b"n"})
    (ada.work / "skills/one/lib/a.txt").unlink()
    changed = ada.skald("push", "skills")
    assert changed.returncode == 0
    for line in ("+license: MIT", "-# Text", "--- /dev/null", "+++ b/new.txt", "+++ /dev/null", "-a"):
        assert line in changed.stdout.splitlines()
    assert changed.stdout.endswith("one: published as version 2\ntwo: published as version 2\n2 published\n")
    skill = ada.get("name/one")
    assert (skill["version"], [file["path"] for file in skill["files"]]) == (2, ["new.txt"])
    assert ada.json("push", "skills", "skills/one")["summary"] == {"unchanged": 2}


def test_any_bytes_arrive_and_come_back(ada: Person) -> None:
    files = {
        "logo.png": b"\x89PNG\r\n\x1a\n\0\xff",
        "scripts/run.sh": b"#!/bin/sh\nexit 0\n",
        "crlf.txt": b"a\r\nb\r\n",
        "empty": b"",
        "übersicht 文.md": "ü".encode(),
        ".hidden/x": b"y",
        "nul": b"a\0b",
    }
    ada.write_skill("pdf", "# Über\r\n\r\nZeile\r\n", files)
    assert outcomes(ada.json("push", "skills")) == {"pdf": "created"}
    assert ada.json("push", "skills")["summary"] == {"unchanged": 1}
    assert ada.json("pull", "pdf", "--dir=out")["summary"] == {"written": 1}
    out = ada.work / "out" / "pdf"
    assert {path: (out / path).read_bytes() for path in files} == files
    assert (out / "SKILL.md").read_bytes().endswith(b"---\n# \xc3\x9cber\r\n\r\nZeile\r\n")
    assert os.access(out / "scripts/run.sh", os.X_OK)
    assert ada.raw("show", "pdf", "--file=logo.png") == files["logo.png"]
    # What was pulled is what is there.
    assert ada.json("push", "out")["summary"] == {"unchanged": 1}


def test_a_dry_run_says_what_would_be_and_writes_nothing(ada: Person) -> None:
    ada.write_skill("one")
    tried = ada.json("push", "skills", "--dry-run")
    assert (outcomes(tried), tried["dry_run"]) == ({"one": "created"}, True)
    assert "one: would be created" in ada.skald("push", "skills", "--dry-run").stdout
    assert ada.json("list")["count"] == 0


def test_one_that_cannot_be_published_keeps_no_other_from_it(ada: Person) -> None:
    ada.write_skill("good")
    bad = ada.write_skill("bad")
    (bad / "SKILL.md").write_text("---\nname: Bad Name\ndescription: [\n---\nText\n")
    (bad / "big.bin").write_bytes(b"x" * 1_000_001)
    done = ada.skald("push", "skills")
    assert done.returncode == 1
    assert "good: created as version 1" in done.stdout
    assert "skills/bad/SKILL.md: Line " in done.stderr
    assert "skills/bad/big.bin: It has 1,000,001 bytes" in done.stderr
    answer = ada.json("push", "skills", code=1)
    assert answer["summary"] == {"refused": 1, "unchanged": 1}
    refused = next(skill for skill in answer["skills"] if skill["outcome"] == "refused")
    assert {problem["path"] for problem in refused["problems"]} == {"SKILL.md", "big.bin"}


def test_a_name_counts_not_its_folder_and_two_of_one_name_clash(ada: Person) -> None:
    ada.write_skill("pdf", folder="skills/other-name")
    assert outcomes(ada.json("push", "skills")) == {"pdf": "created"}
    ada.write_skill("pdf", folder="copies/pdf")
    assert ada.json("push", "skills", "copies")["summary"] == {"unchanged": 2}  # the same twice
    ada.write_skill("pdf", "# Another\n", folder="copies/pdf")
    clash = ada.json("push", "skills", "copies", code=1)
    assert clash["summary"] == {"refused": 2}
    assert clash["skills"][0]["error"]["code"] == "name_clash"
    assert "copies/pdf" in clash["skills"][0]["error"]["detail"]
    assert ada.json("push", "skills", "copies", "--exclude=other-name")["summary"] == {"published": 1}


def test_what_could_be_better_is_counted_and_listed_when_asked_for(ada: Person) -> None:
    ada.write_skill("one", "See [the guide](guide.md).\n")
    first = ada.skald("push", "skills")
    assert (first.returncode, "one could be better (1 hint)" in first.stderr) == (0, True)
    assert ada.skald("push", "skills").stderr == ""
    listed = ada.skald("push", "skills", "--warnings").stderr
    assert "skills/one/guide.md: The body links to 'guide.md', but the skill has no such file." in listed


def test_what_a_comment_drops_is_named_with_its_line(ada: Person) -> None:
    folder = ada.write_skill("one", "See [the guide](guide.md).\n")
    text = (folder / "SKILL.md").read_text()
    (folder / "SKILL.md").write_text(text.replace("\n---\n", "\nlicense: MIT # but not for us\n---\n", 1))
    said = ada.skald("push", "skills").stderr
    line = text.split("\n---\n")[0].count("\n") + 2
    assert (
        f"skills/one/SKILL.md: Line {line}: what follows ' #' is a comment and no part of 'license'" in said
    )
    assert "guide.md" not in said
    assert "one could be better (2 hints)" in said
    assert ada.skald("push", "skills").stderr == ""


def test_a_missing_frontmatter_is_made_when_asked_for(ada: Person) -> None:
    folder = ada.write_skill("survival-analysis")
    (folder / "SKILL.md").write_text("# Survival\n\nTime to event.\n")
    refused = ada.skald("push", "skills")
    assert refused.returncode == 1
    assert "name: survival-analysis" in refused.stderr
    assert ada.json("push", "skills", "--fill-in")["summary"] == {"created": 1}
    skill = ada.get("name/survival-analysis")
    assert (skill["description"], skill["body"]) == ("Time to event.", "# Survival\n\nTime to event.\n")
    assert ada.json("push", "skills", "--fill-in")["summary"] == {"unchanged": 1}


def test_a_folder_without_skills_says_so(ada: Person) -> None:
    (ada.work / "empty").mkdir()
    assert ada.json("push", "empty", code=1)["error"]["code"] == "no_skills"
    assert ada.json("push", "nowhere", code=1)["error"]["code"] == "usage"


def test_names_of_any_bytes_can_be_told(ada: Person) -> None:
    folder = ada.write_skill("one", folder=os.fsdecode(b"skills/\xff\x1b"))
    assert outcomes(ada.json("push", "skills")) == {"one": "created"}
    (folder / os.fsdecode(b"\xfe")).write_bytes(b"")
    refused = ada.json("push", "skills", code=1)["skills"][0]
    assert refused["problems"][0]["code"] == "invalid_path"
    assert "\x1b" not in ada.skald("push", "skills").stderr


def test_links_out_of_the_folder_and_secrets_are_left_out_and_told(ada: Person) -> None:
    one = ada.write_skill("one", files={".env": b"SECRET=1", "a": b""})
    ada.write_skill("elsewhere", folder="outside/elsewhere")
    (one.parent / "linked").symlink_to(ada.work / "outside" / "elsewhere")
    done = ada.skald("push", "skills")
    assert done.returncode == 0
    assert "skills/linked: left out" in done.stderr
    assert ".env: left out" in done.stderr
    assert [file["path"] for file in ada.get("name/one")["files"]] == ["a"]
    (one / "linked").symlink_to("/etc/hostname")
    refused = ada.json("push", "skills", code=1)
    assert refused["skills"][0]["problems"][0]["code"] == "link_outside"


def test_a_push_that_was_interrupted_goes_on(relay: "Relay", ada: Person) -> None:
    for number in range(12):
        ada.write_skill(f"skill-{number:02}")
    relay.slow = 0.3
    env = {**ada.env, "SKALD_URL": relay.url}
    with subprocess.Popen(
        ada.command("push", "skills"),
        env=env,
        cwd=ada.work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever runs the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        relay.imported.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run it again to go on" in out + err
    assert b"Traceback" not in err
    there = ada.json("list")["count"]
    assert 0 < there < 12
    rest = ada.json("push", "skills")["summary"]
    assert rest == {"created": 12 - there, "unchanged": there}
    assert {row["latest_version"] for row in ada.json("list")["results"]} == {1}


def test_a_connection_that_breaks_after_the_write_publishes_once(relay: "Relay", ada: Person) -> None:
    ada.write_skill("one")
    relay.lose_answers = 2
    assert outcomes(ada.json_by(relay.url, "push", "skills")) == {"one": "created"}
    assert relay.lose_answers == 0
    assert len(set(relay.keys)) == 1 < len(relay.keys)
    assert ada.get("name/one")["version_count"] == 1


def test_a_service_that_asks_for_patience_gets_it(relay: "Relay", ada: Person) -> None:
    for number in range(5):
        ada.write_skill(f"skill-{number}")
    relay.too_many = 3
    begin = time.monotonic()
    assert ada.json_by(relay.url, "push", "skills")["summary"] == {"created": 5}
    assert time.monotonic() - begin > 1
    assert relay.too_many == 0


def test_of_two_that_push_at_once_one_is_told(ada: Person, tmp_path: Path) -> None:
    bob = Person(ada.service, tmp_path / "bob", project_id=ada.project_id)
    ada.write_skill("pdf")
    ada.json("push", "skills")
    for person in (ada, bob):
        person.json("pull", "pdf", "--dir=mine")
        text = (person.work / "mine/pdf/SKILL.md").read_text()
        (person.work / "mine/pdf/SKILL.md").write_text(f"{text}By {person.home.name}.\n")
    assert ada.json("push", "mine")["summary"] == {"published": 1}
    assert ada.json("push", "mine")["summary"] == {"unchanged": 1}

    late = bob.json("push", "mine", code=1)
    assert late["summary"] == {"conflict": 1}
    assert late["skills"][0]["error"]["code"] == "version_conflict"
    assert "after you pulled version 1" in bob.skald("push", "mine").stderr
    assert bob.json("pull", "--dir=mine", code=1)["summary"] == {"changed_here": 1}
    assert bob.json("push", "mine", "--force")["summary"] == {"published": 1}
    assert ada.json("pull", "--dir=mine")["summary"] == {"updated": 1}
    assert (ada.work / "mine/pdf/SKILL.md").read_text().endswith("By bob.\n")


def test_a_race_is_told_and_the_same_content_is_none(relay: "Relay", ada: Person) -> None:
    """Somebody publishes between our look and our publish."""
    ada.write_skill("fresh")
    ada.write_skill("same")
    ada.write_skill("old")
    ada.json("push", "skills/old")
    ada.write_skill("old", "# Mine\n")

    def others() -> None:
        with ada.service.client(ada.key, ada.project_id) as http:
            skill = {"name": "fresh", "description": "Other.", "body": "Other"}
            http.post("llm_skills/", json=skill).raise_for_status()
            http.patch("llm_skills/name/old", json={"base_version": 1, "body": "Other"}).raise_for_status()
            same = {"name": "same", "description": "Does same.", "body": "# Text\n\nDo it.\n"}
            http.post("llm_skills/", json=same).raise_for_status()

    relay.before_import = others
    answer = ada.json_by(relay.url, "push", "skills", code=1)
    assert outcomes(answer) == {"fresh": "conflict", "old": "conflict", "same": "unchanged"}
    assert "another publish of" in answer["skills"][0]["error"]["detail"]
    assert ada.get("name/old")["body"] == "Other"


def test_a_service_that_goes_away_leaves_an_account(relay: "Relay", ada: Person) -> None:
    for number in range(3):
        ada.write_skill(f"skill-{number}")
    relay.refuse_after = 1
    answer = ada.json_by(relay.url, "push", "skills", code=1)
    assert answer["error"]["code"] == "unreachable"
    assert set(outcomes(answer).values()) <= {"created", "failed", "not_sent"}


class Relay:
    """Stands between a command and the service, and does harm."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.slow = 0.0
        self.lose_answers = 0
        self.too_many = 0
        self.refuse_after: int | None = None
        self.before_import: Any = None
        self.imported = threading.Event()
        self.keys: list[str] = []
        self._lock = threading.Lock()
        self._client = httpx.Client(base_url=target, timeout=30)
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                relay.pass_on(self)

            def do_POST(self) -> None:
                relay.pass_on(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        is_import = handler.command == "POST"
        if is_import:
            with self._lock:
                self.keys.append(handler.headers["idempotency-key"])
                if self.too_many:
                    self.too_many -= 1
                    text = b'{"type": "throttled_error", "code": "throttled", "detail": "Too many.", "attr": null}'
                    self.answer(handler, httpx.Response(429, headers={"retry-after": "1"}, content=text))
                    return
                if self.refuse_after is not None:
                    if self.refuse_after <= 0:
                        handler.close_connection = True
                        return
                    self.refuse_after -= 1
                before, self.before_import = self.before_import, None
                if before:
                    before()
        kept = ("authorization", "content-type", "idempotency-key", "user-agent")
        headers = {name: handler.headers[name] for name in kept if name in handler.headers}
        answer = self._client.request(handler.command, handler.path, content=body, headers=headers)
        if is_import:
            self.imported.set()
            threading.Event().wait(self.slow)
            with self._lock:
                if self.lose_answers:
                    self.lose_answers -= 1
                    handler.close_connection = True
                    return
        self.answer(handler, answer)

    def answer(self, handler: BaseHTTPRequestHandler, answer: httpx.Response) -> None:
        handler.send_response(answer.status_code)
        for name in ("content-type", "retry-after"):
            if name in answer.headers:
                handler.send_header(name, answer.headers[name])
        handler.send_header("content-length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)
