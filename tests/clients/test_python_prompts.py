"""``posthog.ai.prompts.Prompts`` of PyPI posthog, unmodified."""

import warnings

import pytest
from posthog.ai.prompts import PromptFetchError, Prompts

from tests.clients.conftest import Home, home_on
from tests.support.service import MakeService


def prompts_of(home: Home, key: str = "") -> Prompts:
    return Prompts(personal_api_key=key or home.key, project_api_key=home.token, host=home.host)


def test_get(home: Home) -> None:
    home.prompt(
        "Greeter", "Hello {{name}}", "Hi {{name}} 😀", labels={"live": 1, "a.b-c": 2}, config={"t": 1.5}
    )
    prompts = prompts_of(home)

    latest = prompts.get("Greeter", with_metadata=True)
    assert (latest.source, latest.prompt, latest.name) == ("api", "Hi {{name}} 😀", "Greeter")
    assert (latest.version, latest.label, latest.config) == (2, None, {"t": 1.5})
    assert prompts.get("Greeter", with_metadata=True).source == "cache"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert prompts.get("Greeter") == "Hi {{name}} 😀"
    assert prompts.get("Greeter", with_metadata=False, version=1) == "Hello {{name}}"
    first = prompts.get("Greeter", with_metadata=True, version=1)
    assert (first.version, first.label) == (1, None)
    for label, version in (("live", 1), ("a.b-c", 2)):
        found = prompts.get("Greeter", with_metadata=True, label=label)
        assert (found.version, found.label) == (version, label)
    assert prompts.compile(latest.prompt, {"name": "Ada"}) == "Hi Ada 😀"


def test_a_moved_label_is_seen_by_the_next_get(home: Home) -> None:
    home.prompt("greeter", "one", "two", labels={"live": 1})
    prompts = prompts_of(home)

    assert prompts.get("greeter", with_metadata=False, label="live", cache_ttl_seconds=0) == "one"
    with home.http() as http:
        http.put("llm_prompts/name/greeter/labels/live", json={"version": 2}).raise_for_status()
    assert prompts.get("greeter", with_metadata=False, label="live", cache_ttl_seconds=0) == "two"


def test_get_all_follows_every_page(home: Home) -> None:
    for number in range(103):
        home.prompt(f"p-{number}", f"text {number}")
    home.prompt("labeled", "one", "two", labels={"live": 1})
    prompts = prompts_of(home)

    everything = prompts.get_all()
    live = prompts.get_all(label="live")

    assert len(everything) == 104
    assert everything["p-7"].prompt == "text 7"
    assert everything["labeled"].version == 2
    assert {name: (result.version, result.label) for name, result in live.items()} == {"labeled": (1, "live")}
    assert prompts.get("labeled", with_metadata=True, label="live").source == "cache"
    assert prompts.get_all(label="absent") == {}


CHAT = [{"role": "system", "content": "You help customers of {{shop}}."}]


def test_a_prompt_that_is_no_text_fails_and_is_left_out_when_the_operator_says_so(
    home: Home, make_service: MakeService
) -> None:
    home.prompt("chat", CHAT)
    home.prompt("text", "one")
    for ask in (lambda: prompts_of(home).get("chat", with_metadata=True), prompts_of(home).get_all):
        with pytest.raises(Exception, match=r"[Ii]nvalid response"):
            ask()

    service = make_service(settings={"SKALD_SDK_TEXT_ONLY": "1"})
    same = home._replace(service=service)
    assert {name: one.prompt for name, one in prompts_of(same).get_all().items()} == {"text": "one"}
    assert prompts_of(same).get("text", with_metadata=False) == "one"
    with same.http() as http:
        assert http.get("llm_prompts/").json()["count"] == 2
        with_token = {"token": home.token, "text_only": "false"}
        assert http.get("llm_prompts/", params=with_token).json()["count"] == 2


def test_every_page_has_texts_alone(make_service: MakeService) -> None:
    home = home_on(make_service(settings={"SKALD_SDK_TEXT_ONLY": "1"}))
    for number in range(103):
        home.prompt(f"p-{number}", f"text {number}", labels={"live": 1})
        if number % 10 == 0:
            home.prompt(f"chat-{number}", CHAT, labels={"live": 1})
    for found in (prompts_of(home).get_all(), prompts_of(home).get_all(label="live")):
        assert found.keys() == {f"p-{number}" for number in range(103)}


def test_refusals(home: Home) -> None:
    home.prompt("greeter", "one")
    prompts = prompts_of(home)

    with pytest.raises(Exception, match='Prompt "nobody" not found'):
        prompts.get("nobody", with_metadata=True)
    with pytest.raises(Exception, match='Prompt "greeter" version 9 not found'):
        prompts.get("greeter", with_metadata=True, version=9)
    with pytest.raises(Exception, match='Prompt "greeter" label "absent" not found'):
        prompts.get("greeter", with_metadata=True, label="absent")
    assert prompts.get("nobody", with_metadata=True, fallback="instead").source == "code_fallback"
    for key, message in (
        ("sk_wrong", "Authentication failed"),
        (home.other_key("llm_skill:read"), "Access denied"),
    ):
        with pytest.raises(Exception, match=message):
            prompts_of(home, key).get("greeter", with_metadata=True)
        with pytest.raises(Exception, match=message):
            prompts_of(home, key).get_all()
    # A read key is enough.
    assert prompts_of(home, home.other_key("llm_prompt:read")).get("greeter", with_metadata=False) == "one"
    with pytest.raises(PromptFetchError, match="HTTP 400"):
        prompts.get("greeter", with_metadata=True, label="a" * 129)
