"""`skald label-policy`, as it is typed."""

from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.service import Service

ALL = ("*",)


@pytest.fixture
def lea(running_service: Service, tmp_path: Path) -> Person:
    return Person(running_service, tmp_path, scopes=ALL)


def test_policies_are_set_shown_and_removed(lea: Person) -> None:
    assert (
        lea.skald("label-policy", "production", "--protect").stdout
        == "production: by keys that may promote\n"
    )
    assert lea.skald("label-policy", "beta", "--open").stdout == "beta: by keys that may write\n"
    assert lea.json("label-policy", "production", "--approvals=2")["approvals"] == 2
    head, beta, production = lea.skald("label-policy").stdout.splitlines()
    assert head.split() == ["label", "how", "it", "moves", "changed", "by"]
    assert beta.startswith("beta ")
    assert "by a promotion with 2 approvals" in production
    assert [row["label"] for row in lea.json("label-policy")["results"]] == ["beta", "production"]
    assert lea.skald("label-policy", "production", "--remove").stdout == "production: no policy\n"
    assert lea.json("label-policy", "production", "--remove", code=1)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "arguments", [["production"], ["--protect"], ["--remove"], ["production", "--remove", "--protect"]]
)
def test_what_says_too_little_or_too_much_is_no_call(lea: Person, arguments: list[str]) -> None:
    assert lea.skald("label-policy", *arguments).returncode == 2


def test_a_key_without_the_scope_hears_which(running_service: Service, tmp_path: Path) -> None:
    bob = Person(running_service, tmp_path)
    failed = bob.skald("label-policy", "production", "--protect")
    assert failed.returncode == 1
    assert "required scope 'project:admin'" in failed.stderr


def test_a_promotion_is_requested_listed_and_decided(lea: Person) -> None:
    with lea.service.client(lea.key, lea.project_id) as http:
        http.post("llm_prompts/", json={"name": "Helper", "prompt": "Hi"}).raise_for_status()
        http.patch("llm_prompts/name/Helper", json={"base_version": 1, "prompt": "Hello"}).raise_for_status()
    other = {"SKALD_KEY": lea.service.make_key(["*"], [lea.project_id])}
    asked = lea.skald("promote", "Helper", "production", "2", "--kind=prompt", "--note=Polite")
    assert "production to version 2 is open, 0 of 0 approvals" in asked.stderr
    id = asked.stdout.strip()

    head, row = lea.skald("promotions", "--status=open").stdout.splitlines()
    assert head.split()[:5] == ["id", "what", "label", "version", "status"]
    assert row.startswith(f"{id}  prompt/Helper  production  - → 2")
    assert row.endswith("Polite")
    assert lea.json("approve", id, code=1)["error"]["code"] == "own_promotion"
    done = lea.skald("approve", id, "--comment=Yes", env=other)
    assert done.stdout == "prompt/Helper: production is version 2\n"
    assert lea.json("promotions", "--name=Helper")["results"][0]["status"] == "promoted"
    assert lea.json("withdraw", id, code=1)["error"]["code"] == "promoted"

    back = lea.json("promote", "Helper", "production", "1", "--kind=prompt")["id"]
    assert (
        lea.skald("reject", back, "--comment=No", env=other).stdout
        == "prompt/Helper: production to version 1 is rejected\n"
    )
    again = lea.json("promote", "Helper", "production", "1", "--kind=prompt")["id"]
    assert lea.skald("withdraw", again).stdout == "prompt/Helper: production to version 1 is withdrawn\n"
    log = lea.skald("log", "Helper", "--kind=prompt").stdout
    assert "promotion of version 2 to production requested: Polite" in log
    assert "promotion of version 2 to production approved: Yes" in log
    assert "promotion of version 2 to production promoted\n" in log
