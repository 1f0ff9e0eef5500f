"""Clients that ask too often hear for how long to wait."""

from pathlib import Path

import httpx
import pytest
from posthog.ai.prompts import PromptFetchError, Prompts

from tests.clients.conftest import call_prompts, home_on
from tests.support.service import MakeService


def test_clients_are_told_how_long_to_wait(make_service: MakeService, packages: Path) -> None:
    home = home_on(make_service(settings={"SKALD_RATE_LIMIT_PER_MINUTE": "3"}))
    home.prompt("greeter", "one")
    key = home.other_key("llm_prompt:read")
    prompts = Prompts(personal_api_key=key, project_api_key=home.token, host=home.host)
    for _ in range(3):
        assert prompts.get("greeter", with_metadata=False, cache_ttl_seconds=0) == "one"

    with pytest.raises(PromptFetchError, match="HTTP 429") as single:
        prompts.get("other", with_metadata=True)
    with pytest.raises(PromptFetchError, match="HTTP 429") as batch:
        prompts.get_all()
    # What has been fetched before is served on.
    assert prompts.get("greeter", with_metadata=True, cache_ttl_seconds=0).source == "stale_cache"
    js = call_prompts(packages, home, ["get", "greeter"], ["getAll"], key=key)
    answer = httpx.get(
        f"{home.host}/api/projects/{home.project_id}/llm_prompts/", headers={"authorization": f"Bearer {key}"}
    )

    assert answer.status_code == 429
    told = int(answer.headers["retry-after"])
    waits = [
        single.value.retry_after_seconds,
        batch.value.retry_after_seconds,
        *(one["retryAfter"] for one in js),
    ]
    assert all(wait is not None and told <= wait <= 60 for wait in waits), (told, waits)
    assert all("HTTP 429" in one["error"] for one in js)
