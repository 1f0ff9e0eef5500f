"""The contents of a write were looked up in the cache, where large files had pushed the body out before it was stored.

Without a cache (``SKALD_CACHE_BYTES=0``) nothing could be written at all.
"""

import pytest

from tests.support.service import MakeService


@pytest.mark.parametrize("cache_bytes", ["0", "1000000"])
def test_what_is_larger_than_the_cache_is_written(make_service: MakeService, cache_bytes: str) -> None:
    service = make_service(settings={"SKALD_CACHE_BYTES": cache_bytes})
    files = [{"path": f"{number}.txt", "content": f"{number}" * 200_000} for number in range(3)]
    skill = {"name": "large", "description": "Large.", "body": "# Large\n", "files": files}
    with service.client() as http:
        created = http.post("llm_skills/", json=skill)
        assert created.status_code == 201, created.text

        published = http.patch(
            "llm_skills/name/large", json={"base_version": 1, "body": "# New\n", "files": files}
        )
        assert (published.status_code, published.json()["body"]) == (200, "# New\n")
        edited = http.patch(
            "llm_skills/name/large", json={"base_version": 2, "edits": [{"old": "New", "new": "Newer"}]}
        )
        assert (edited.status_code, edited.json()["body"]) == (200, "# Newer\n")
        assert http.get("llm_skills/name/large/files/2.txt").json()["content"] == files[2]["content"]
        prompt = http.post("llm_prompts/", json={"name": "Helper", "prompt": "Hi"})
        assert prompt.status_code == 201
