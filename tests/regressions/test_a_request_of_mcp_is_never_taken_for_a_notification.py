"""A request whose ``id`` is neither a string nor a whole number got 202 and no answer, for which its client waited."""

import httpx
import pytest

from tests.support.service import Service


def post(service: Service, key: str, body: bytes) -> httpx.Response:
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    return httpx.post(f"{service.base_url}/mcp", content=body, headers=headers)


@pytest.mark.parametrize("sent", ["null", "1.5", "1e400", "true", "{}", "[1]"])
@pytest.mark.parametrize("params", ["", ',"params":{}', ',"params":[]'])
def test_an_id_that_no_answer_can_carry_is_refused(running_service: Service, sent: str, params: str) -> None:
    project_id = running_service.make_project().id
    key = running_service.make_key(project_ids=[project_id])
    answer = post(running_service, key, f'{{"jsonrpc":"2.0","id":{sent},"method":"ping"{params}}}'.encode())
    assert answer.status_code == 400, answer.text
    assert (answer.json()["id"], answer.json()["error"]["code"]) == (None, -32600)
    assert "a string or a whole number" in answer.json()["error"]["message"]


def test_good_ids_are_answered_and_notifications_are_not(running_service: Service) -> None:
    project_id = running_service.make_project().id
    key = running_service.make_key(project_ids=[project_id])
    for sent in ('"a\\"\\n"', "7", "-1", "123456789012345678901234567890", '""'):
        answer = post(running_service, key, f'{{"jsonrpc":"2.0","id": {sent} ,"method":"ping"}}'.encode())
        assert answer.status_code == 200, answer.text
        assert f'"id":{sent}' in answer.text
    notified = post(running_service, key, b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    assert (notified.status_code, notified.content) == (202, b"")
