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
    """``model`` has the versions of each active name and where its labels point."""

    service: Service

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[list[Version], dict[str, int]]] = {}

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
            self.model[name] = ([Version(prompt, config, "made")], {})

    @rule(name=NAMES, prompt=TEXTS, config=CONFIGS, with_config=st.booleans(), off=OFFSETS)
    def publish(self, name: str, prompt: Any, config: Any, with_config: bool, off: int) -> None:
        versions, _ = self.model.get(name, ([], {}))
        base = max(len(versions) + off, 1)
        body = {"base_version": base, "prompt": prompt, **({"config": config} if with_config else {})}
        answer = self.send("PATCH", f"name/{name}", body)
        if not versions:
            assert answer.status_code == 404
        elif base != len(versions):
            assert (answer.status_code, answer.json()["current_version"]) == (409, len(versions))
        else:
            assert answer.status_code == 200, answer.text
            versions.append(Version(prompt, config if with_config else versions[-1].config, ""))

    @rule(name=NAMES)
    def edit(self, name: str) -> None:
        versions, _ = self.model.get(name, ([], {}))
        body = {"base_version": max(len(versions), 1), "edits": [{"old": "one", "new": "1 and one"}]}
        answer = self.send("PATCH", f"name/{name}", body)
        if not versions:
            assert answer.status_code == 404
            return
        last = versions[-1]
        prompt = last.prompt
        if isinstance(prompt, list):
            prompt = [1, {"k": prompt[1]["k"].replace("one", "1 and one")}]
        elif isinstance(prompt, str) and "one" in prompt:
            prompt = prompt.replace("one", "1 and one")
        else:
            assert (answer.status_code, answer.json()["code"]) == (400, "edit_not_found")
            return
        assert answer.status_code == 200, answer.text
        versions.append(Version(prompt, last.config, ""))

    @rule(name=NAMES, label=LABELS, number=st.integers(1, 4))
    def set_label(self, name: str, label: str, number: int) -> None:
        versions, labels = self.model.get(name, ([], {}))
        answer = self.send("PUT", f"name/{name}/labels/{label}", {"version": number})
        if number > len(versions):
            assert answer.status_code == 404
            return
        assert answer.status_code == (200 if label in labels else 201)
        labels[label] = number

    @rule(name=NAMES, label=LABELS)
    def remove_label(self, name: str, label: str) -> None:
        _, labels = self.model.get(name, ([], {}))
        answer = self.send("DELETE", f"name/{name}/labels/{label}")
        assert answer.status_code == (204 if labels.pop(label, None) else 404)

    @rule(name=NAMES)
    def archive(self, name: str) -> None:
        answer = self.send("POST", f"name/{name}/archive")
        gone = self.model.pop(name, None)
        assert answer.status_code == (404 if gone is None else 200)
        if gone is not None:
            assert answer.json()["prompt"] == gone[0][-1].prompt

    @rule(source=NAMES, new_name=NAMES)
    def duplicate(self, source: str, new_name: str) -> None:
        answer = self.send("POST", f"name/{source}/duplicate", {"new_name": new_name})
        if source not in self.model:
            assert answer.status_code == 404
        elif new_name in self.model:
            assert answer.status_code == 400
        else:
            assert answer.status_code == 201
            last = self.model[source][0][-1]
            self.model[new_name] = ([Version(last.prompt, last.config, "")], {})

    @invariant()
    def every_read_says_so(self) -> None:
        if not hasattr(self, "http"):
            return
        page = self.send("GET", "?order_by=name").json()
        assert page["count"] == len(self.model)
        for row, (name, (versions, labels)) in zip(page["results"], sorted(self.model.items()), strict=True):
            assert (row["name"], row["prompt"], row["version"]) == (name, versions[-1].prompt, len(versions))
            assert {one["name"]: one["version"] for one in row["all_labels"]} == labels
        for label in ("live", "beta.1"):
            listed = self.send("GET", f"?label={label}&content=none").json()["results"]
            pointed = {name: labels[label] for name, (_, labels) in self.model.items() if label in labels}
            assert {row["name"]: row["version"] for row in listed} == pointed
        for name, (versions, labels) in self.model.items():
            self.check(self.send("GET", f"name/{name}").json(), versions, labels, len(versions))
            for label, number in labels.items():
                shown = self.send("GET", f"name/{name}?label={label}").json()
                self.check(shown, versions, labels, number)
            first = self.send("GET", f"name/{name}?version=1").json()
            self.check(first, versions, labels, 1)
            resolved = self.send("GET", f"resolve/name/{name}").json()
            self.check(resolved["prompt"], versions, labels, len(versions))
            assert [line["version"] for line in resolved["versions"]] == list(range(len(versions), 0, -1))
            assert {one["name"]: one["version"] for one in resolved["labels"]} == labels

    @staticmethod
    def check(shown: dict[str, Any], versions: list[Version], labels: dict[str, int], number: int) -> None:
        version = versions[number - 1]
        assert (shown["prompt"], shown["config"]) == (version.prompt, version.config)
        assert type(shown["prompt"]) is type(version.prompt)
        assert (shown["version_description"], shown["version"]) == (version.description, number)
        assert (shown["latest_version"], shown["is_latest"]) == (len(versions), number == len(versions))
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
