"""A protected label is protected by every door: agents over MCP and people with the command line hear the same as the API says."""

from pathlib import Path

import pytest

from domain.artifacts.kinds import KINDS
from tests.support.mcp_client import agent_on
from tests.support.people import Person
from tests.support.service import Service
from tests.support.space import skill

BODIES = {"skill": skill("agent"), "prompt": {"name": "agent", "prompt": "one"}}


def protected(service: Service, project_id: int, kind: str, **policy: object) -> None:
    """The label production on version 1 of ``agent``."""
    path = KINDS[kind].RESOURCE
    with service.client(service.make_key(["*"], [project_id]), project_id) as http:
        http.post(f"{path}/", json=BODIES[kind]).raise_for_status()
        http.put(f"{path}/name/agent/labels/production", json={"version": 1}).raise_for_status()
        http.put("label-policies/production", json=policy).raise_for_status()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_tools_of_agents(running_service: Service, kind: str) -> None:
    writer = [f"{KINDS[kind].SCOPE}:write"]
    async with agent_on(running_service, scopes=writer) as agent:
        protected(running_service, agent.project_id, kind, protected=True)
        for tool, arguments in (
            (f"set_{kind}_label", {"label": "production", "version": 1}),
            (f"archive_{kind}", {}),
        ):
            failed = await agent.fail(tool, name="agent", **arguments)
            assert (failed["code"], failed["type"]) == ("label_protected", "authentication_error")


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line(running_service: Service, tmp_path: Path, kind: str) -> None:
    person = Person(running_service, tmp_path, scopes=("*",))
    protected(running_service, person.project_id, kind, approvals=1)
    for command in (("label", "agent", "production", "1"), ("label", "agent", "production", "--remove")):
        failed = person.json(*command, "--kind", kind, code=1)["error"]
        assert failed["code"] == "approval_required"
    assert person.json("archive", "agent", "--kind", kind, code=1)["error"]["code"] == "approval_required"
