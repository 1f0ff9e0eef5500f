"""Random commands on prompts against a model of a few lines; after each, every read must say what the model says."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.support import invariants
from tests.support.service import Service

NAMES = st.sampled_from(["a", "A", "b"])
LABELS = st.sampled_from(["live", "beta.1"])
TEXTS = st.sampled_from(["one", "two\r\n", "", 1, [1, {"k": "one"}], True])
CONFIGS: st.SearchStrategy[Any] = st.one_of(st.none(), st.just({}), st.just({"t": [1, "x"]}))
OFFSETS = st.sampled_from([0, 0, 0, -1, 1])


class Version:
    def __init__(self, prompt: Any, config: Any, description: str) -> None:
        self.prompt, self.config, self.description = prompt, config, description


class Prompts(RuleBasedStateMachine):
    """``model`` has the versions of each active name and where its labels point, ``yanked`` the numbers that are yanked."""

    service: Service

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[list[Version], dict[str, int]]] = {}
        self.yanked: dict[str, set[int]] = {}

    def kept(self, name: str) -> list[int]:
        """Versions that are not yanked, newest first."""
        versions, _ = self.model.get(name, ([], {}))
        return [number for number in range(len(versions), 0, -1) if number not in self.yanked[name]]

    def latest(self, name: str) -> int:
        return self.kept(name)[0]

    def add(self, name: str, version: Version) -> None:
        self.model.setdefault(name, ([], {}))[0].append(version)
        self.yanked.setdefault(name, set())

    @initialize()
    def start(self) -> None:
        project = self.service.make_project().id
        self.http = self.service.client(project_id=project)

    def teardown(self) -> None:
        if hasattr(self, "http"):
            self.http.close()

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(method, f"llm_prompts/{path}", json=body)

    @rule(name=NAMES, prompt=TEXTS, config=CONFIGS)
    def create(self, name: str, prompt: Any, config: Any) -> None:
        body = {"name": name, "prompt": prompt, "config": config, "version_description": "made"}
        answer = self.send("POST", "", body)
        if name in self.model:
            assert (answer.status_code, answer.json()["code"]) == (400, "unique")
        else:
            assert answer.status_code == 201, answer.text
            self.add(name, Version(prompt, config, "made"))

    @rule(name=NAMES, prompt=TEXTS, config=CONFIGS, with_config=st.booleans(), off=OFFSETS)
    def publish(self, name: str, prompt: Any, config: Any, with_config: bool, off: int) -> None:
        versions, _ = self.model.get(name, ([], {}))
        latest = self.latest(name) if versions else 0
        base = max(latest + off, 1)
        body = {"base_version": base, "prompt": prompt, **({"config": config} if with_config else {})}
        answer = self.send("PATCH", f"name/{name}", body)
        if not versions:
            assert answer.status_code == 404
        elif base != latest:
            assert (answer.status_code, answer.json()["current_version"]) == (409, latest)
        else:
            assert answer.status_code == 200, answer.text
            self.add(name, Version(prompt, config if with_config else versions[latest - 1].config, ""))

    @rule(name=NAMES)
    def edit(self, name: str) -> None:
        versions, _ = self.model.get(name, ([], {}))
        latest = self.latest(name) if versions else 1
        body = {"base_version": latest, "edits": [{"old": "one", "new": "1 and one"}]}
        answer = self.send("PATCH", f"name/{name}", body)
        if not versions:
            assert answer.status_code == 404
            return
        last = versions[latest - 1]
        prompt = last.prompt
        if isinstance(prompt, list):
            prompt = [1, {"k": prompt[1]["k"].replace("one", "1 and one")}]
        elif isinstance(prompt, str) and "one" in prompt:
            prompt = prompt.replace("one", "1 and one")
        else:
            assert (answer.status_code, answer.json()["code"]) == (400, "edit_not_found")
            return
        assert answer.status_code == 200, answer.text
        self.add(name, Version(prompt, last.config, ""))

    @rule(name=NAMES, label=LABELS, number=st.integers(1, 4))
    def set_label(self, name: str, label: str, number: int) -> None:
        versions, labels = self.model.get(name, ([], {}))
        answer = self.send("PUT", f"name/{name}/labels/{label}", {"version": number})
        if number > len(versions):
            assert answer.status_code == 404
            return
        if number in self.yanked[name]:
            assert (answer.status_code, answer.json()["code"]) == (409, "yanked")
            return
        assert answer.status_code == (200 if label in labels else 201)
        labels[label] = number

    @rule(name=NAMES, label=LABELS)
    def remove_label(self, name: str, label: str) -> None:
        _, labels = self.model.get(name, ([], {}))
        answer = self.send("DELETE", f"name/{name}/labels/{label}")
        assert answer.status_code == (204 if labels.pop(label, None) else 404)

    @rule(name=NAMES, back=st.integers(-1, 2))
    def yank(self, name: str, back: int) -> None:
        """Or take it back: one of the newest, or one that there is not."""
        versions, _ = self.model.get(name, ([], {}))
        number = max(len(versions) - back, 1)
        yanked = self.yanked.get(name, set())
        word = "unyank" if number in yanked else "yank"
        answer = self.send("POST", f"name/{name}/versions/{number}/{word}", {"reason": "wrong"})
        if not versions:
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        elif number > len(versions):
            assert (answer.status_code, answer.json()["code"]) == (404, "version_not_found")
            assert answer.json()["available_versions"] == self.kept(name)[:20]
        elif self.kept(name) == [number]:
            assert (answer.status_code, answer.json()["code"]) == (409, "last_version")
        else:
            assert answer.status_code == 200, answer.text
            yanked ^= {number}
            self.check(name, answer.json(), number)

    @rule(name=NAMES)
    def archive(self, name: str) -> None:
        answer = self.send("POST", f"name/{name}/archive")
        latest = self.latest(name) if name in self.model else 0
        gone = self.model.pop(name, None)
        self.yanked.pop(name, None)
        assert answer.status_code == (404 if gone is None else 200)
        if gone is not None:
            assert answer.json()["prompt"] == gone[0][latest - 1].prompt

    @rule(source=NAMES, new_name=NAMES)
    def duplicate(self, source: str, new_name: str) -> None:
        answer = self.send("POST", f"name/{source}/duplicate", {"new_name": new_name})
        if source not in self.model:
            assert answer.status_code == 404
        elif new_name in self.model:
            assert answer.status_code == 400
        else:
            assert answer.status_code == 201
            last = self.model[source][0][self.latest(source) - 1]
            self.add(new_name, Version(last.prompt, last.config, ""))

    @invariant()
    def every_read_says_so(self) -> None:
        if not hasattr(self, "http"):
            return
        page = self.send("GET", "?order_by=name").json()
        assert page["count"] == len(self.model)
        for row, (name, (versions, labels)) in zip(page["results"], sorted(self.model.items()), strict=True):
            latest = self.latest(name)
            assert (row["name"], row["prompt"], row["version"]) == (name, versions[latest - 1].prompt, latest)
            assert (row["version_count"], row["yanked"]) == (len(versions), None)
            assert {one["name"]: one["version"] for one in row["all_labels"]} == labels
        for label in ("live", "beta.1"):
            listed = self.send("GET", f"?label={label}&content=none").json()["results"]
            pointed = {
                name: labels[label]
                for name, (_, labels) in self.model.items()
                if label in labels and labels[label] not in self.yanked[name]
            }
            assert {row["name"]: row["version"] for row in listed} == pointed
        for name, (versions, labels) in self.model.items():
            self.check(name, self.send("GET", f"name/{name}").json(), self.latest(name))
            for label, number in labels.items():
                answer = self.send("GET", f"name/{name}?label={label}")
                if number in self.yanked[name]:
                    assert (answer.status_code, answer.json()["code"]) == (410, "yanked")
                else:
                    self.check(name, answer.json(), number)
            for number in {1, len(versions)}:
                self.check(name, self.send("GET", f"name/{name}?version={number}").json(), number)
            resolved = self.send("GET", f"resolve/name/{name}").json()
            self.check(name, resolved["prompt"], self.latest(name))
            assert [line["version"] for line in resolved["versions"]] == self.kept(name)
            assert {one["name"]: one["version"] for one in resolved["labels"]} == labels

    def check(self, name: str, shown: dict[str, Any], number: int) -> None:
        versions, labels = self.model[name]
        version, latest = versions[number - 1], self.latest(name)
        assert (shown["prompt"], shown["config"]) == (version.prompt, version.config)
        assert type(shown["prompt"]) is type(version.prompt)
        assert (shown["version_description"], shown["version"]) == (version.description, number)
        assert (shown["latest_version"], shown["is_latest"]) == (latest, number == latest)
        assert (shown["version_count"], shown["yanked"] is not None) == (
            len(versions),
            number in self.yanked[name],
        )
        assert shown["labels"] == sorted(label for label, at in labels.items() if at == number)


@pytest.mark.slow
def test_prompts_are_what_the_model_says(running_service: Service, postgres_url: str) -> None:
    machine = type("Machine", (Prompts,), {"service": running_service})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    invariants.check(postgres_url)
