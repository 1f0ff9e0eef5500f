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
