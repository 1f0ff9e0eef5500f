"""Which service the commands for people talk to: profiles in a file of the user's own, and variables over them.

The file is ``$XDG_CONFIG_HOME/skald/config.toml`` (``~/.config`` unless set), 0600, written by `skald login`. The variables
are ``SKALD_URL``, ``SKALD_KEY``, ``SKALD_PROJECT`` and ``SKALD_PROFILE``; the settings of the service itself have others.
"""

import contextlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cli.embedded.folder import write_private
from cli.errors import Failure

DEFAULT = "default"
DEFAULT_URL = "http://127.0.0.1:8000"
CURRENT = "@current"
PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
PROJECT = re.compile(r"[0-9]{1,18}|@current", re.ASCII)
# Other letters of a host have a spelling in ASCII (xn--…), which is what is sent.
ADDRESS = re.compile(r"[!-~]{1,2000}", re.ASCII)
KEY = re.compile(r"[!-~]{1,512}", re.ASCII)
LOOPBACK = ("localhost", "::1")


class ProfileError(Failure):
    """No service is known, or what is known of it cannot be used."""

    code = "not_logged_in"
    exit_code = 2


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A service, a project of it and the key that opens it. The key is in no text of this object."""

    url: str
    key: str
    project: str = CURRENT

    def __repr__(self) -> str:
        return f"Target(url={self.url!r}, project={self.project!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("url", self.url), ("project", self.project)]


class Profiles:
    """The profiles of the file, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.targets: dict[str, Target] = {}

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Profiles":
        """Raises ProfileError when the file is there and cannot be read."""
        home = env.get("XDG_CONFIG_HOME", "")
        # By the specification of these folders a relative path does not count.
        base = Path(home) if home.startswith("/") else Path.home() / ".config"
        profiles = cls(base / "skald" / "config.toml")
        try:
            text = profiles.path.read_text()
        except FileNotFoundError:
            return profiles
        except (OSError, UnicodeError) as error:
            raise ProfileError(f"{profiles.path} cannot be read: {error}", code="bad_config") from None
        with contextlib.suppress(OSError):
            profiles.path.chmod(0o600)  # also when it was copied here with other rights
        try:
            for name, entry in tomllib.loads(text).get("profiles", {}).items():
                profiles.targets[checked_name(name)] = Target(
                    url=checked_url(entry["url"]),
                    key=checked_key(entry["key"]),
                    project=checked_project(str(entry.get("project", CURRENT))),
                )
        except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, ProfileError) as error:
            raise ProfileError(
                f"{profiles.path} cannot be used ({error}); correct it, or remove it and run `skald login`",
                code="bad_config",
            ) from None
        return profiles

    def save(self) -> None:
        """Replace the file atomically. The folder is for the user alone when it is made here."""
        lines = ["# Written by `skald login`. The keys in it are secrets.\n"]
        for name, target in sorted(self.targets.items()):
            lines.append(f"\n[profiles.{name}]\n")
            # A basic string of TOML is written as one of JSON.
            lines += [
                f"{field} = {json.dumps(getattr(target, field))}\n" for field in ("url", "project", "key")
            ]
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, "".join(lines))
        except OSError as error:
            raise ProfileError(f"{self.path} cannot be written: {error}", code="bad_config") from None


def find_target(env: Mapping[str, str], *, profile: str | None = None, project: str | None = None) -> Target:
    """The service that options, variables and file mean, in this order. Raises ProfileError."""
    profile = profile or env.get("SKALD_PROFILE") or None
    url, key = env.get("SKALD_URL", "").strip(), env.get("SKALD_KEY", "").strip()
    project = project or env.get("SKALD_PROJECT", "").strip() or None
    if url and key and not profile:
        kept = None
    else:
        profiles = Profiles.of(env)
        kept = profiles.targets.get(profile or DEFAULT)
        if profile and not kept:
            known = ", ".join(sorted(profiles.targets)) or "none"
            raise ProfileError(
                f"there is no profile '{profile}' (known: {known}); run `skald login --profile {profile}`"
            )
    if profile:
        url = key = ""  # a profile that was asked for by name counts more than variables
    if url:
        url = checked_url(url)
        # A key goes to the service that it was given for, and to no other.
        if kept and kept.url != url:
            kept = None
    if not (url or kept):
        raise ProfileError("no service is known; run `skald login`, or set SKALD_URL and SKALD_KEY")
    if not (key or kept):
        raise ProfileError(f"no key is known for {url}; run `skald login --url {url}`, or set SKALD_KEY")
    return Target(
        url=url or (kept.url if kept else ""),
        key=checked_key(key) if key else (kept.key if kept else ""),
        project=checked_project(project) if project else (kept.project if kept else CURRENT),
    )


def checked_url(text: str) -> str:
    """The address of a service: scheme, host and perhaps a path before ``/api``. Raises ProfileError."""
    text = text.strip()
    with contextlib.suppress(ValueError):
        if "://" not in text:
            text = (
                f"http://{text}" if _is_loopback(urlsplit(f"//{text}").hostname or "") else f"https://{text}"
            )
        split = urlsplit(text)
        if (
            ADDRESS.fullmatch(text)
            and split.scheme in ("http", "https")
            and split.hostname
            and split.port != 0
            and not (split.username or split.password or split.query or split.fragment)
        ):
            return re.sub(r"/api(/(projects|environments)(/[^/]*)?)?$", "", text.rstrip("/"))
    raise ProfileError(
        "the address of a service looks like https://skald.example.com, without user, query or fragment",
        code="bad_url",
    )


def checked_key(text: str) -> str:
    """Raises ProfileError, which does not show the key."""
    if not KEY.fullmatch(text):
        raise ProfileError("a key is one line of visible ASCII characters, such as sk_…", code="bad_key")
    return text


def checked_project(text: str) -> str:
    if not PROJECT.fullmatch(text):
        raise ProfileError(f"a project is a number or @current, not {text[:40]!r}", code="bad_project")
    return text


def checked_name(text: str) -> str:
    if not PROFILE_NAME.fullmatch(text):
        raise ProfileError(
            "the name of a profile has letters, digits, hyphens and underscores", code="bad_profile"
        )
    return text


def is_exposed(url: str) -> bool:
    """Whether a key sent there could be read on the way."""
    split = urlsplit(url)
    return split.scheme == "http" and not _is_loopback(split.hostname or "")


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.") or host.endswith(".localhost")
