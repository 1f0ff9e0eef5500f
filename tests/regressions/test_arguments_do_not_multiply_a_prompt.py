"""A prompt over MCP put each argument into every place that names it: a megabyte of ``{{a}}`` and one of ``a`` were 200 GB."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from mcp.shared.exceptions import MCPError

from api.mcp.prompts import messages_of
from projections.sizes import MAX_ANSWER

MANY = "{{a}}" * 10_000


@pytest.mark.parametrize(
    "prompt",
    [
        MANY,
        {"deep": [MANY]},
        {MANY: "in a key"},
        [{"role": "user", "content": MANY}],
        [{"role": "user", "content": [{"type": "text", "text": MANY}, {"type": "other", "x": MANY}]}],
        [{"role": "user", "content": "{{a}}{{b}}" * 10}] * 500,
    ],
)
def test_it_is_refused_before_it_is_made(prompt: Any) -> None:
    values, raw = {"a": "x" * 100_000, "b": "y"}, msgspec.json.encode(prompt)
    tracemalloc.start()
    with pytest.raises(MCPError, match="send shorter ones"):
        messages_of(raw, values)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < MAX_ANSWER


def test_what_fits_is_filled_in() -> None:
    [message] = messages_of(msgspec.json.encode(MANY), {"a": "x" * (MAX_ANSWER // 10_000)})
    assert len(message.content.text) == MAX_ANSWER // 10_000 * 10_000  # type: ignore[union-attr]
    [message] = messages_of(msgspec.json.encode(MANY), {"other": "x" * 1_000_000})
    assert message.content.text == MANY  # type: ignore[union-attr]
