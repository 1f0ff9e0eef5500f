"""Random commands against a small model in memory and the real service; every read of both must agree."""

import contextlib
from functools import partial
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.outline import outline
from tests.support.invariants import check
from tests.support.service import MakeService, Service

NAMES = st.sampled_from(["ant", "bee", "ant", "bee", "bee-2"])
PATHS = st.sampled_from(["a", "a/b", "a/b/c", "b", "A", "b.txt"])
TEXTS = st.text("abcdef#\r\n é😀", max_size=12)
BODIES = TEXTS.filter(lambda text: bool(text.strip()))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "description": st.sampled_from(["Eats ANTS", "100% bees", "snake_case", "é"]),
    "license": st.sampled_from(["", "MIT"]),
    "compatibility": st.sampled_from(["", "any"]),
    "allowed_tools": st.lists(st.sampled_from(["Read", "Bash(git log:*)"]), max_size=2),
    "metadata": st.dictionaries(
        st.sampled_from("kl"), st.one_of(st.none(), st.integers(), st.text('é"', max_size=2))
    ),
}
# Most lists of files fit in one tree, some do not.
TREES = st.dictionaries(st.sampled_from(["a/b", "a/c", "b", "A", "b.txt"]), TEXTS, max_size=4).map(
    lambda files: list(files.items())
)
FILES = st.one_of(TREES, TREES, TREES, st.lists(st.tuples(PATHS, TEXTS), max_size=4))
BASES = st.sampled_from(["none", "right", "right", "right", "low", "high"])

Refusal = tuple[int, str, str | None, dict[str, Any]]


class No(Exception):
    """The model refuses as the service should."""

    def __init__(self, status: int, code: str, attr: str | None = None, **extra: Any) -> None:
        self.refusal: Refusal = (status, code, attr, extra)


class Model:
    """Active skills by name, each a list of versions; a version is the plain fields with ``files`` by path."""

    def __init__(self) -> None:
        self.skills: dict[str, list[dict[str, Any]]] = {}
        self.yanked: dict[str, set[int]] = {}
        self.made = 0

    @property
    def order(self) -> list[str]:
        """Names by their latest version, newest last."""
        return sorted(self.skills, key=lambda name: int(self.latest(name)["made"]))

    def kept(self, name: str) -> list[int]:
        """Versions that are not yanked, newest first."""
        every = range(len(self.skills[name]), 0, -1)
        return [number for number in every if number not in self.yanked[name]]

    def current(self, name: str) -> int:
        return self.kept(name)[0]

    def yank(self, name: str, number: int) -> None:
        """Or take it back."""
        self.latest(name)
        if number > len(self.skills[name]):
            raise No(404, "version_not_found", available_versions=self.kept(name)[:20])
        if self.kept(name) == [number]:
            raise No(409, "last_version")
        self.yanked[name] ^= {number}

    def latest(self, name: str) -> dict[str, Any]:
        if name not in self.skills:
            raise No(404, "not_found")
        return self.skills[name][self.current(name) - 1]

    def add(self, name: str, version: dict[str, Any]) -> None:
        self.made += 1
        self.skills.setdefault(name, []).append({**version, "made": self.made})
        self.yanked.setdefault(name, set())

    def check_base(self, name: str, base: int | None) -> None:
        current = self.current(name)
        if base is not None and base != current:
            raise No(409, "version_conflict", "base_version", current_version=current)

    def create(self, name: str, version: dict[str, Any], attr: str = "name") -> None:
        if name in self.skills:
            raise No(400, "unique", attr)
        self.add(name, version)

    def publish(self, name: str, base: int, changes: dict[str, Any]) -> None:
        old = self.latest(name)
        self.check_base(name, base)
        new = {**old, "files": dict(old["files"])}
        for field, value in changes.items():
            if field == "edits":
                new["body"] = edited(old["body"], value, "edits")
                if not new["body"].strip():
                    last = len(value) - 1
                    raise No(400, "blank", f"edits__{last}__new", edit_index=last)
            elif field == "files":
                new["files"] = dict(value)
            elif field != "file_edits":
                new[field] = value
        for index, (path, edits) in enumerate(changes.get("file_edits", ())):
            if path not in old["files"]:
                raise No(400, "file_not_found", f"file_edits__{index}__path", file_path=path)
            where = f"file_edits__{index}__edits"
            new["files"][path] = edited(old["files"][path], edits, where, file_path=path)
        self.add(name, new)

    def change_files(self, name: str, base: int | None, files: dict[str, str]) -> None:
        self.add(name, {**self.latest(name), "files": files})

    def add_file(self, name: str, base: int | None, path: str, content: str) -> None:
        files = self.latest(name)["files"]
        self.check_base(name, base)
        self.check_free(files, path, "path")
        self.change_files(name, base, {**files, path: content})

    def rename(self, name: str, base: int | None, old: str, new: str) -> None:
        files = dict(self.latest(name)["files"])
        self.check_base(name, base)
        if old not in files:
            raise No(404, "not_found")
        if old == new:
            raise No(409, "file_exists", "new_path")
        content = files.pop(old)
        self.check_free(files, new, "new_path")
        self.change_files(name, base, {**files, new: content})

    def remove(self, name: str, base: int | None, path: str) -> None:
        files = dict(self.latest(name)["files"])
        self.check_base(name, base)
        if path not in files:
            raise No(404, "not_found")
        del files[path]
        self.change_files(name, base, files)

    def archive(self, name: str) -> None:
        self.latest(name)
        del self.skills[name], self.yanked[name]

    @staticmethod
    def check_free(files: dict[str, str], path: str, attr: str) -> None:
        if path in files:
            raise No(409, "file_exists", attr)
        if not fits([*files, path]):
            raise No(400, "path_conflict", attr)


def edits_of(text: str) -> st.SearchStrategy[list[dict[str, str]]]:
    """Edits of which many fit: they replace parts of the text, and sometimes of what is not there."""
    parts = sorted(
        {text[start:end] for start in range(len(text)) for end in (start + 1, start + 2, start + 5)}
    )
    old = st.one_of(
        st.sampled_from(parts or ["a"]), st.sampled_from(parts or ["b"]), st.sampled_from(["a", "\r\n"])
    )
    return st.lists(st.fixed_dictionaries({"old": old, "new": TEXTS}), min_size=1, max_size=2)


def edited(text: str, edits: list[dict[str, str]], attr: str, **where: Any) -> str:
    for index, edit in enumerate(edits):
        parts = text.split(edit["old"])
        if len(parts) != 2:
            code = "edit_not_found" if len(parts) == 1 else "edit_ambiguous"
            raise No(400, code, f"{attr}__{index}__old", edit_index=index, **where)
        text = parts[0] + edit["new"] + parts[1]
    return text


def fits(paths: list[str]) -> bool:
    """Whether the paths are unique and none is another's folder."""
    return len(set(paths)) == len(paths) and not any(
        other.startswith(f"{path}/") for path in paths for other in paths
    )


def new_version(fields: dict[str, Any]) -> dict[str, Any]:
    """A version with the defaults of the fields that were not sent."""
    defaults = {"description": "d", "license": "", "compatibility": "", "allowed_tools": [], "metadata": {}}
    return {**defaults, **fields}


class SkillsMachine(RuleBasedStateMachine):
    service: Service

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.stack = contextlib.ExitStack()
        self.position = 0

    @initialize()
    def open_project(self) -> None:
        project_id = self.service.make_project().id
        # Two connections, so that what one process wrote is often read through the other.
        self.writer, self.reader = (
            self.stack.enter_context(self.service.client(project_id=project_id)) for _ in range(2)
        )

        # Most commands find something to change, so the names are taken from the start.
        for name in ("ant", "bee"):
            files = [("a/b", "one two"), ("b", "abc")]
            sent = {"name": name, "description": "d", "body": "# abc", "files": listed(files)}
            version = new_version({"body": "# abc", "files": dict(files)})
            answer = self.command("POST", "", sent, 201, partial(self.model.create, name, version))
            self.done(name, answer)

    def teardown(self) -> None:
        if hasattr(self, "reader"):
            for name in self.model.skills:
                self.compare(name)
                for number in range(1, len(self.model.skills[name]) + 1):
                    self.compare(name, number)
            self.lists()
        self.stack.close()

    # Commands

    def command(self, method: str, path: str, body: Any, expected: int, decide: Any) -> httpx.Response | None:
        """Both sides do it; returns the answer when both agree to do so."""
        answer = self.writer.request(method, f"llm_skills/{path}", json=body)
        refused: Refusal | None = None
        try:
            decide()
        except No as no:
            refused = no.refusal
        if refused is not None:
            assert refusal(answer) == refused
            return None
        assert answer.status_code == expected, answer.text
        position = int(answer.headers["x-event-position"])
        assert position > self.position
        self.position = position
        return answer

    def done(self, name: str, answer: httpx.Response | None) -> None:
        """Keep the id of the new version, and compare the answer and the next read with the model."""
        if answer is None:
            if name in self.model.skills:
                self.compare(name)
            return
        version = self.model.skills[name][-1]
        version["id"] = answer.json()["id"]
        self.same(name, len(self.model.skills[name]), answer.json())
        self.compare(name)
        for path, content in version["files"].items():
            shown = self.read(f"name/{name}/files/{path}")
            assert (shown.status_code, shown.json()["content"]) == (200, content)

    def base(self, name: str, choice: str) -> int | None:
        current = self.model.current(name) if name in self.model.skills else 3
        return {"none": None, "right": current, "low": max(current - 1, 1), "high": current + 1}[choice]

    @rule(name=NAMES, body=BODIES, fields=st.fixed_dictionaries({}, optional=FIELDS), files=FILES)
    def create(self, name: str, body: str, fields: dict[str, Any], files: list[tuple[str, str]]) -> None:
        sent = {"name": name, "description": "d", "body": body, **fields, "files": listed(files)}
        version = new_version({"body": body, **fields, "files": dict(files)})

        def decide() -> None:
            if not fits([path for path, _ in files]):
                self.bad_tree(files)
            self.model.create(name, version)

        self.done(name, self.command("POST", "", sent, 201, decide))

    @rule(
        data=st.data(),
        name=NAMES,
        base=BASES.filter(lambda choice: choice != "none"),
        fields=st.fixed_dictionaries({}, optional=FIELDS),
    )
    def publish(self, data: st.DataObject, name: str, base: str, fields: dict[str, Any]) -> None:
        number = self.base(name, base)
        assert number is not None
        absent: dict[str, Any] = {"body": "a", "files": {}}
        old = self.model.latest(name) if name in self.model.skills else absent
        sent, changes = dict(fields), dict(fields)
        match data.draw(st.sampled_from(["", "body", "edits"])):
            case "body":
                sent["body"] = changes["body"] = data.draw(BODIES)
            case "edits":
                sent["edits"] = changes["edits"] = data.draw(edits_of(old["body"]))
        files: list[tuple[str, Any]] = []
        match data.draw(st.sampled_from(["file_edits", "files", "", "file_edits"])):
            case "files":
                files = changes["files"] = data.draw(FILES)
                sent["files"] = listed(files)
            case "file_edits":
                known = sorted(old["files"]) or ["a"]
                wanted = st.one_of(st.sampled_from(known), st.sampled_from(known), PATHS)
                paths = data.draw(st.lists(wanted, min_size=1, max_size=2, unique=True))
                changes["file_edits"] = [
                    (path, data.draw(edits_of(old["files"].get(path, "a")))) for path in paths
                ]
                sent["file_edits"] = [{"path": path, "edits": edits} for path, edits in changes["file_edits"]]

        def decide() -> None:
            if "files" in changes and not fits([path for path, _ in files]):
                self.bad_tree(files)
            self.model.publish(name, number, changes)

        self.done(name, self.command("PATCH", f"name/{name}", {**sent, "base_version": number}, 200, decide))

    @staticmethod
    def bad_tree(files: list[tuple[str, str]]) -> None:
        """The first path that does not fit with those before it is to blame."""
        paths = [path for path, _ in files]
        index = next(index for index in range(len(paths)) if not fits(paths[: index + 1]))
        code = "duplicate_path" if paths[index] in paths[:index] else "path_conflict"
        raise No(400, code, f"files__{index}__path")

    @rule(name=NAMES, base=BASES, path=PATHS, content=TEXTS)
    def add_file(self, name: str, base: str, path: str, content: str) -> None:
        number = self.base(name, base)
        sent = {"path": path, "content": content} | ({} if number is None else {"base_version": number})
        answer = self.command(
            "POST", f"name/{name}/files", sent, 201, lambda: self.model.add_file(name, number, path, content)
        )
        self.done(name, answer)

    def some_path(self, data: st.DataObject, name: str) -> str:
        """A path that the skill mostly has."""
        known = sorted(self.model.latest(name)["files"]) if name in self.model.skills else []
        return data.draw(st.one_of(st.sampled_from(known or ["a"]), st.sampled_from(known or ["b"]), PATHS))

    @rule(data=st.data(), name=NAMES, base=BASES, new=PATHS)
    def rename_file(self, data: st.DataObject, name: str, base: str, new: str) -> None:
        number, old = self.base(name, base), self.some_path(data, name)
        sent = {"old_path": old, "new_path": new} | ({} if number is None else {"base_version": number})
        answer = self.command(
            "POST", f"name/{name}/files-rename", sent, 200, lambda: self.model.rename(name, number, old, new)
        )
        self.done(name, answer)

    @rule(data=st.data(), name=NAMES, base=BASES)
    def remove_file(self, data: st.DataObject, name: str, base: str) -> None:
        number, path = self.base(name, base), self.some_path(data, name)
        query = "" if number is None else f"?base_version={number}"
        address = f"name/{name}/files/{path}{query}"
        self.done(
            name, self.command("DELETE", address, None, 200, lambda: self.model.remove(name, number, path))
        )

    @precondition(lambda self: len(self.model.skills) > 1)
    @rule(name=NAMES)
    def archive(self, name: str) -> None:
        old = self.model.skills.get(name)
        if (
            self.command("POST", f"name/{name}/archive", None, 204, lambda: self.model.archive(name))
            is not None
        ):
            assert old
            assert refusal(self.read(f"name/{name}"))[:2] == (404, "not_found")
            assert refusal(self.read(f"name/{old[0]['id']}"))[:2] == (404, "not_found")

    @rule(name=NAMES, new=NAMES)
    def duplicate(self, name: str, new: str) -> None:
        def decide() -> None:
            self.model.create(new, dict(self.model.latest(name)), "new_name")

        answer = self.command("POST", f"name/{name}/duplicate", {"new_name": new}, 201, decide)
        if answer is not None:
            self.done(new, answer)

    @rule(data=st.data(), name=NAMES)
    def yank(self, data: st.DataObject, name: str) -> None:
        versions = self.model.skills.get(name, [])
        number = data.draw(st.integers(max(len(versions) - 2, 1), len(versions) + 1))
        word = "unyank" if number in self.model.yanked.get(name, ()) else "yank"
        answer = self.command(
            "POST",
            f"name/{name}/versions/{number}/{word}",
            {"reason": "wrong"},
            200,
            lambda: self.model.yank(name, number),
        )
        if answer is not None:
            self.same(name, number, answer.json())
            self.compare(name)

    # Reads

    def read(self, path: str) -> httpx.Response:
        return self.reader.get(f"llm_skills/{path}")

    def compare(self, name: str, number: int | None = None) -> None:
        answer = self.read(f"name/{name}" + (f"?version={number}" if number else ""))
        assert answer.status_code == 200, answer.text
        self.same(name, number or self.model.current(name), answer.json())

    def same(self, name: str, number: int, shown: dict[str, Any]) -> None:
        versions = self.model.skills[name]
        version, latest = versions[number - 1], self.model.current(name)
        assert (shown["yanked"] is not None) == (number in self.model.yanked[name])
        expected = {key: value for key, value in version.items() if key not in ("files", "made")} | {
            "name": name,
            "version": number,
            "latest_version": latest,
            "version_count": len(versions),
            "is_latest": number == latest,
            "deleted": False,
            "outline": [{"level": head.level, "text": head.text} for head in outline(version["body"])],
        }
        assert {key: shown[key] for key in expected} == expected
        manifest = {entry["path"]: entry["size"] for entry in shown["files"]}
        assert manifest == {path: len(text.encode()) for path, text in version["files"].items()}
        assert list(manifest) == sorted(manifest)
        text = self.read(f"name/{name}/skill-md?version={number}").content
        assert text.endswith(f"---\n{version['body']}".encode())
        assert shown["skill_md"] == {"sha256": sha256(text).hexdigest(), "size": len(text)}
        tree = {path: content.encode() for path, content in version["files"].items()} | {"SKILL.md": text}
        listing = "".join(f"{sha256(tree[path]).hexdigest()}  {path}\n" for path in sorted(tree))
        assert shown["digest"] == f"sha256:{sha256(listing.encode()).hexdigest()}"

    @precondition(lambda self: self.model.skills)
    @rule(data=st.data())
    def old_versions_and_their_files(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.skills)))
        versions = self.model.skills[name]
        number = data.draw(st.integers(1, len(versions) + 1))
        path = data.draw(PATHS)
        if number > len(versions):
            newest = {"available_versions": self.model.kept(name)[:20]}
            for address in (f"name/{name}", f"resolve/name/{name}", f"name/{name}/files/{path}"):
                found = refusal(self.read(f"{address}?version={number}"))
                assert found == (404, "version_not_found", None, newest)
            return
        self.compare(name, number)
        shown = self.read(f"name/{name}/files/{path}?version={number}")
        content = versions[number - 1]["files"].get(path)
        if content is None:
            assert refusal(shown)[:2] == (404, "not_found")
        else:
            assert (shown.status_code, shown.json()["content"]) == (200, content)
        leads = self.read(f"name/{versions[number - 1]['id']}")
        assert (leads.status_code, leads.headers["location"].rpartition("/")[2]) == (302, name)

    @precondition(lambda self: self.model.skills)
    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.skills)))
        versions = self.model.skills[name]
        number = data.draw(st.integers(1, len(versions)))
        limit, before = data.draw(st.integers(1, 4)), data.draw(st.integers(1, len(versions) + 1))
        answer = self.read(
            f"resolve/name/{name}?version_id={versions[number - 1]['id']}&limit={limit}&before_version={before}"
        )
        assert answer.status_code == 200, answer.text
        self.same(name, number, answer.json()["skill"])
        older = [old for old in self.model.kept(name) if old < before]
        lines = answer.json()["versions"]
        assert [line["version"] for line in lines] == older[:limit]
        assert [line["id"] for line in lines] == [versions[old - 1]["id"] for old in older[:limit]]
        assert answer.json()["has_more"] == (len(older) > limit)

    @rule()
    def lists(self) -> None:
        newest = list(reversed(self.model.order))
        self.listed("", newest)
        self.listed("?order_by=name", sorted(newest))
        for text in ("ant", "%", "_", "É"):
            found = [
                name
                for name in newest
                if text.casefold() in name
                or text.casefold() in self.model.latest(name)["description"].casefold()
            ]
            self.listed(f"?search={quote(text)}", found)

    def listed(self, query: str, names: list[str]) -> None:
        page = self.read(query).json()
        assert ([row["name"] for row in page["results"]], page["count"]) == (names, len(names))
        for row in page["results"]:
            latest = self.model.latest(row["name"])
            assert (row["id"], row["description"]) == (latest["id"], latest["description"])
            assert row["version"] == self.model.current(row["name"])


def listed(files: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"path": path, "content": content} for path, content in files]


def refusal(answer: httpx.Response) -> Refusal:
    """What is compared of an error; close names are a hint, not a promise."""
    body = answer.json()
    extra = {key: body[key] for key in body if key not in ("type", "code", "detail", "attr", "suggestions")}
    return answer.status_code, body["code"], body["attr"], extra


def test_the_service_does_what_the_model_does(make_service: MakeService, fresh_database_url: str) -> None:
    service = make_service(workers=2, followers=True, database_url=fresh_database_url)

    class Machine(SkillsMachine):
        pass

    Machine.service = service
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=24,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    check(fresh_database_url)
