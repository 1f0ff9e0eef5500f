"""``Prompts`` of npm @posthog/ai, unmodified."""

from pathlib import Path

from tests.clients.conftest import Home, Prompts, call_prompts
from tests.support.service import MakeService


def test_get(home: Home, js_prompts: Prompts) -> None:
    home.prompt(
        "Greeter", "Hello {{name}}", "Hi {{name}} 😀", labels={"live": 1, "a.b-c": 2}, config={"t": 1.5}
    )

    latest, first, live, dotted = js_prompts(
        ["get", "Greeter"],
        ["get", "Greeter", {"version": 1}],
        ["get", "Greeter", {"label": "live"}],
        ["get", "Greeter", {"label": "a.b-c"}],
    )

    assert latest["value"] == {
        "source": "api", "prompt": "Hi {{name}} 😀", "name": "Greeter", "version": 2, "config": {"t": 1.5},
    }  # fmt: skip
    assert (first["value"]["prompt"], first["value"]["version"]) == ("Hello {{name}}", 1)
    assert (live["value"]["version"], live["value"]["label"]) == (1, "live")
    assert (dotted["value"]["version"], dotted["value"]["label"]) == (2, "a.b-c")
    assert not any(result["warnings"] for result in (latest, first, live, dotted))


def test_get_all(home: Home, js_prompts: Prompts) -> None:
    for number in range(3):
        home.prompt(f"p{number}", "one", "two", labels={"live": 1} if number else None)

    everything, live, cached, nothing = js_prompts(
        ["getAll"],
        ["getAll", {"label": "live"}],
        ["get", "p1", {"label": "live"}],
        ["getAll", {"label": "none"}],
    )

    assert {name: result["version"] for name, result in everything["value"].items()} == {
        "p0": 2, "p1": 2, "p2": 2,
    }  # fmt: skip
    assert {name: result["version"] for name, result in live["value"].items()} == {"p1": 1, "p2": 1}
    assert (cached["value"]["source"], cached["value"]["prompt"]) == ("cache", "one")
    assert nothing["value"] == {}
    assert live["warnings"] == []


def test_refusals(home: Home, js_prompts: Prompts) -> None:
    home.prompt("greeter", "one")

    unknown, version, label, fallback = js_prompts(
        ["get", "nobody"],
        ["get", "greeter", {"version": 9}],
        ["get", "greeter", {"label": "absent"}],
        ["get", "greeter", {"label": "absent", "fallback": "instead"}],
    )
    assert unknown["error"] == '[PostHog Prompts] Prompt "nobody" not found'
    assert version["error"] == '[PostHog Prompts] Prompt "greeter" version 9 not found'
    assert label["error"] == '[PostHog Prompts] Prompt "greeter" label "absent" not found'
    assert (fallback["value"]["source"], fallback["value"]["prompt"]) == ("code_fallback", "instead")

    for result in js_prompts(["get", "greeter"], ["getAll"], key="sk_wrong"):
        assert result["error"].endswith("HTTP 401")
    for result in js_prompts(["get", "greeter"], ["getAll"], key=home.other_key("llm_skill:read")):
        assert "Access denied" in result["error"]


def test_prompts_that_are_no_text_are_left_out_when_the_operator_says_so(
    packages: Path, home: Home, make_service: MakeService
) -> None:
    home.prompt("chat", [{"role": "system", "content": "Help."}])
    home.prompt("text", "one")
    [refused] = call_prompts(packages, home, ["getAll"])
    assert "error" in refused
    same = home._replace(service=make_service(settings={"SKALD_SDK_TEXT_ONLY": "1"}))
    [found] = call_prompts(packages, same, ["getAll"])
    assert found["value"].keys() == {"text"}
