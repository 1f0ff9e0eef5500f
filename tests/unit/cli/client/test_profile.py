"""Which service and key the commands for people take, and that the key is in no text."""

from pathlib import Path

import pytest

from cli.client.profile import ProfileError, Profiles, Target, checked_url, find_target, is_exposed

KEY = "sk_secret"


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), **more}


def kept(tmp_path: Path, **targets: Target) -> None:
    profiles = Profiles.of(env(tmp_path))
    profiles.targets.update(targets)
    profiles.save()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://skald.example.com", "https://skald.example.com"),
        (" https://skald.example.com/ ", "https://skald.example.com"),
        ("https://skald.example.com/tools/", "https://skald.example.com/tools"),
        ("http://127.0.0.1:8000/api/projects/1/", "http://127.0.0.1:8000"),
        ("skald.example.com", "https://skald.example.com"),
        ("localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_are_brought_into_one_form(given: str, url: str) -> None:
    assert checked_url(given) == url


@pytest.mark.parametrize(
    "given", ["", "ftp://x", "https://u:p@x", "https://x/?a=1", "https://x:99999", "http://"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ProfileError):
        checked_url(given)


def test_plain_http_to_elsewhere_is_exposed() -> None:
    assert is_exposed("http://skald.example.com")
    assert not is_exposed("https://skald.example.com")
    assert not is_exposed("http://127.0.0.1:8000")


def test_variables_alone_are_enough_and_read_no_file(tmp_path: Path) -> None:
    (tmp_path / "skald").mkdir()
    (tmp_path / "skald" / "config.toml").write_text("broken")
    found = find_target(env(tmp_path, SKALD_URL="https://a.example", SKALD_KEY=KEY, SKALD_PROJECT="7"))
    assert (found.url, found.key, found.project) == ("https://a.example", KEY, "7")


def test_options_and_variables_stand_over_the_file(tmp_path: Path) -> None:
    kept(
        tmp_path,
        default=Target(url="https://a.example", key="sk_a", project="1"),
        work=Target(url="https://b.example", key="sk_b", project="2"),
    )
    assert find_target(env(tmp_path)).key == "sk_a"
    assert find_target(env(tmp_path), project="9").project == "9"
    assert find_target(env(tmp_path, SKALD_KEY=KEY)).key == KEY
    assert find_target(env(tmp_path, SKALD_PROFILE="work")).url == "https://b.example"
    named = find_target(env(tmp_path, SKALD_URL="https://c.example", SKALD_KEY=KEY), profile="work")
    assert (named.url, named.key, named.project) == ("https://b.example", "sk_b", "2")


def test_a_key_is_not_sent_to_an_address_that_it_was_not_given_for(tmp_path: Path) -> None:
    kept(tmp_path, default=Target(url="https://a.example", key=KEY, project="1"))
    assert find_target(env(tmp_path, SKALD_URL="https://a.example/")).key == KEY
    with pytest.raises(ProfileError, match="no key is known for https://c"):
        find_target(env(tmp_path, SKALD_URL="https://c.example"))


def test_the_file_comes_back_as_it_was_written_and_is_private(tmp_path: Path) -> None:
    target = Target(url="https://a.example/x", key='sk_"\\', project="@current")
    kept(tmp_path, default=target)
    profiles = Profiles.of(env(tmp_path))
    assert profiles.targets == {"default": target}
    assert profiles.path.stat().st_mode & 0o777 == 0o600
    profiles.path.chmod(0o644)
    Profiles.of(env(tmp_path))
    assert profiles.path.stat().st_mode & 0o777 == 0o600


def test_a_target_shows_no_key() -> None:
    target = Target(url="https://a.example", key=KEY)
    assert KEY not in f"{target!r} {target} {target.__rich_repr__()}"
