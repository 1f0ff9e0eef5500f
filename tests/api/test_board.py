"""A name that one process has changed is answered by the others without asking Redis or the database."""

import re
from time import sleep

import httpx

from api.metrics import FLUSH_EVERY
from benchmarks.load import exchange, get
from benchmarks.places import spread
from tests.api.space import skill
from tests.service import MakeService

MISSES = re.compile(r'^skald_cache_requests_total\{cache="process",result="miss"\} (\S+)$', re.MULTILINE)


def test_the_other_process_has_what_was_written(make_service: MakeService) -> None:
    service = make_service(workers=2)
    project = service.make_project().id
    key = service.make_key(project_ids=[project])
    path = f"/api/projects/{project}/llm_skills/name/pdf-forms"
    with service.client(key, project) as client:
        assert client.post("llm_skills/", json=skill()).status_code == 201

        def misses() -> float:
            # They are written ten times a second.
            sleep(2 * FLUSH_EVERY)
            found = MISSES.search(httpx.get(f"{service.base_url}/metrics").text)
            assert found is not None
            return float(found[1])

        sockets = [one for each in spread(service.port, service.api_pids(), 1) for one in each]
        for one in sockets:
            assert exchange(one, get(path, key))[0] == 200
        before = misses()
        for version in range(2, 12):
            change = {"base_version": version - 1, "body": f"# Version {version}\n"}
            answered = client.patch("llm_skills/name/pdf-forms", json=change)
            assert answered.status_code == 200
            for one in sockets:
                status, _, body = exchange(one, get(path, key))
                assert (status, body) == (200, answered.content)
        assert misses() == before
        # What nobody wrote as a whole is not there: everybody has to look.
        assert client.post("llm_skills/name/pdf-forms/archive").status_code == 204
        for one in sockets:
            assert exchange(one, get(path, key))[0] == 404
            one.close()
