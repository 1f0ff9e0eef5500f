"""What `skald serve` says of the first key."""

from pathlib import Path

from cli.server.first_key import FirstKey

ADDRESS = "http://127.0.0.1:8000"


def first_request(*, is_new: bool, on_terminal: bool) -> str:
    key = FirstKey(1, "sk_secret", Path("/data of ours/first-key"), is_new)
    return "\n".join(key.first_request(ADDRESS, on_terminal=on_terminal))


def test_a_terminal_shows_a_new_key_and_says_where_it_is_kept() -> None:
    shown = first_request(is_new=True, on_terminal=True)
    assert "Bearer sk_secret'" in shown
    assert "kept in /data of ours/first-key" in shown


def test_a_log_and_a_later_start_get_the_file_alone() -> None:
    for is_new, on_terminal in ((True, False), (False, True), (False, False)):
        shown = first_request(is_new=is_new, on_terminal=on_terminal)
        assert "sk_secret" not in shown
        assert "$(cat '/data of ours/first-key')" in shown
