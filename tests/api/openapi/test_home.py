"""`/` says what this is and where to go: a page for a browser, JSON for anything else."""

import re

import httpx
import pytest

from tests.support.space import Space

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def home(space: Space, accept: str, **headers: str) -> httpx.Response:
    return await space.at("GET", "/", headers={"Accept": accept, "Authorization": "", **headers})


async def test_a_browser_gets_a_page_with_nothing_but_itself(space: Space) -> None:
    answer = await home(space, BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["vary"] == "accept, cookie"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"<script|<style|style=|\son\w+=|\{\{", answer.text)
    links = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert {"/schema/", "/schema/openapi.json", "/healthz", "/readyz"} <= set(links)
    for link in links:
        assert (await space.at("GET", link)).status_code == 200
    assert "skald login --url http://skald.test" in answer.text


async def test_a_browser_that_is_signed_in_is_led_to_the_console(space: Space) -> None:
    answer = await home(space, BROWSER, Cookie="skald_console=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    assert (await home(space, "*/*", Cookie="skald_console=x")).status_code == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
async def test_anything_else_gets_the_same_places_as_json(space: Space, accept: str) -> None:
    answer = await home(space, accept)

    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["name"] == "skald"
    for name in body["links"].keys() - {"mcp"}:
        assert (await space.client.get(body["links"][name])).status_code in (200, 303, 403), name


async def test_what_a_client_has_is_not_sent_again(space: Space) -> None:
    for accept in (BROWSER, "*/*"):
        etag = (await home(space, accept)).headers["etag"]
        assert (await home(space, accept, **{"If-None-Match": etag})).status_code == 304


async def test_the_host_of_a_request_is_text_on_the_page(space: Space) -> None:
    answer = await home(space, BROWSER, Host='x"><b>y</b>')

    assert "<b>y" not in answer.text
