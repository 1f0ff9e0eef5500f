"""Clients of others, unmodified, against the service over HTTP. They get its address, a key and a project, nothing else."""

import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from tests.support.service import Service

HERE = Path(__file__).parent
PACKAGES = ("package.json", "package-lock.json")
INSTALL_WITHIN = 300.0  # seconds; a cold npm cache behind a slow mirror
CALL_WITHIN = 60.0
# The fixtures below that install something once.
INSTALLED = {"packages", "cloning", "agentskills", "apm"}
# Set by .ci/run: a machine that must run everything may not skip.
REQUIRED = "SKALD_REQUIRE_NODE"
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Any of these tests may be the first, which installs the packages, some 1.2 GB with the installers' own programs, or has to
    wait for another process that does: that comes on top of its own time."""
    for item in items:
        if INSTALLED.intersection(getattr(item, "fixturenames", ())):
            marker = item.get_closest_marker("timeout")
            own = marker.args[0] if marker is not None else float(item.config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(INSTALL_WITHIN + own), append=False)


class Home(NamedTuple):
    """A project of one test on the running service, as clients address it."""

    service: Service
    project_id: int
    token: str
    key: str

    @property
    def host(self) -> str:
        return self.service.base_url

    def http(self, key: str | None = None) -> httpx.Client:
        return self.service.client(key or self.key, self.project_id)

    def other_key(self, *scopes: str) -> str:
        return self.service.make_key(scopes, [self.project_id])

    def prompt(self, name: str, *texts: Any, labels: dict[str, int] | None = None, **fields: Any) -> None:
        """A prompt with these versions and labels; ``fields`` go with the first version."""
        with self.http() as http:
            body = {"name": name, "prompt": texts[0], **fields}
            http.post("llm_prompts/", json=body).raise_for_status()
            for base, text in enumerate(texts[1:], 1):
                change = {"prompt": text, "base_version": base}
                http.patch(f"llm_prompts/name/{name}", json=change).raise_for_status()
            for label, version in (labels or {}).items():
                address = f"llm_prompts/name/{name}/labels/{label}"
                http.put(address, json={"version": version}).raise_for_status()


def home_on(service: Service) -> Home:
    project = service.make_project()
    return Home(service, project.id, project.api_token, service.make_key(project_ids=[project.id]))


@pytest.fixture
def home(running_service: Service) -> Home:
    return home_on(running_service)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder with ``node_modules``, installed once for each lock file, outside of the repository."""
    need_node()
    return cached("clients", [HERE / name for name in PACKAGES], npm_ci)


@pytest.fixture(scope="session")
def cloning() -> Path:
    """The same with the installers that clone."""
    need_node()
    return cached("cloning", [HERE / "cloning" / name for name in PACKAGES], npm_ci)


@pytest.fixture(scope="session")
def agentskills() -> Path:
    """A folder to import ``agentskills_http`` from."""
    return cached(
        "agentskills", [HERE / "agentskills.txt"], functools.partial(pip_install, "--python-version", "3.12")
    )


@pytest.fixture(scope="session")
def apm() -> Path:
    """A folder to import ``apm_cli`` from."""
    return cached("apm", [HERE / "apm.txt"], pip_install)


def cached(name: str, files: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """A folder with copies of these files that ``install`` has filled, once for each content of them, for all runs."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "skald-tests"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.gettempdir()) / f"skald-tests-{os.getuid()}"
        cache.mkdir(mode=0o700, exist_ok=True)
    folder = cache / f"{name}-{digest}"
    with _alone(cache / f"{name}.lock"):
        if not folder.exists():
            fresh = Path(tempfile.mkdtemp(prefix="install-", dir=cache))
            try:
                for file in files:
                    shutil.copy(file, fresh)
                install(fresh)
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Test processes take turns."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pip_install(*arguments: Any) -> None:
    """Install what the one file of the folder, the last argument, lists."""
    *chosen, folder = arguments
    [listed] = folder.glob("*.txt")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [
            *command,
            "--no-deps",
            "--only-binary",
            ":all:",
            "--require-hashes",
            *chosen,
            "--target",
            ".",
            "-r",
            listed.name,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_WITHIN,
        check=False,
    )
    if done.returncode != 0:
        without(f"pip could not install them: {done.stderr[-2000:]}")


def npm_ci(folder: Path) -> None:
    # Peers are the model providers that tracing wraps; prompts need none of them.
    command = ["npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_WITHIN, check=False
    )
    if done.returncode != 0:
        without(f"npm could not install them: {done.stderr[-2000:]}")


def need_node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        without("Node and npm are not installed")


def without(why: str) -> None:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but the JavaScript clients cannot run: {why}")
    pytest.skip(f"the JavaScript clients were not run: {why}")


def packaged_node(packages: Path) -> str:
    """The Node that comes with the packages: some clients want a newer one than systems have."""
    return str(packages / f"node_modules/node-linux-{ARCHITECTURES[platform.machine()]}/bin/node")


def run_node(
    arguments: list[str], env: dict[str, str], given: bytes = b"", *, program: str = "node"
) -> "subprocess.CompletedProcess[bytes]":
    """Node with an environment of its own: no settings, and no proxy, of whoever runs the tests."""
    clean = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), **env}
    return subprocess.run(
        [program, *arguments], env=clean, input=given, capture_output=True, timeout=CALL_WITHIN, check=False
    )


Prompts = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def js_prompts(packages: Path, home: Home) -> Prompts:
    """``js_prompts(["get", "name", {…}], …, key=…)``: calls of one ``Prompts`` of @posthog/ai, in order.

    Each gives ``{"value": …}`` or ``{"error": …, "retryAfter": …}``, and ``warnings`` that it printed.
    """
    return functools.partial(call_prompts, packages, home)


def call_prompts(packages: Path, home: Home, *calls: list[Any], key: str = "") -> list[dict[str, Any]]:
    job = {
        "options": {"personalApiKey": key or home.key, "projectApiKey": home.token, "host": home.host},
        "calls": calls,
    }
    done = run_node([str(HERE / "prompts.mjs"), str(packages)], {}, msgspec.json.encode(job))
    assert done.returncode == 0, done.stderr.decode()
    results: list[dict[str, Any]] = msgspec.json.decode(done.stdout)
    return results


class Cli:
    """The agent CLI as a user calls it."""

    def __init__(self, packages: Path, home: Home) -> None:
        self._script = str(packages / "node_modules/@posthog/cli/lib/posthog-api-cli.mjs")
        self._home = home

    def run(
        self, tool: str, given: Any = None, *, key: str = "", with_project: bool = True
    ) -> tuple[bool, str]:
        """Whether it went well, and what it printed."""
        env = {"POSTHOG_CLI_HOST": self._home.host, "POSTHOG_CLI_API_KEY": key or self._home.key}
        if with_project:
            env["POSTHOG_CLI_PROJECT_ID"] = str(self._home.project_id)
        body = msgspec.json.encode({} if given is None else given).decode()
        done = run_node([self._script, "call", "--json", "--confirm", tool, body], env)
        if done.returncode == 0:
            return True, done.stdout.decode()
        return False, done.stderr.decode()

    def call(self, tool: str, given: Any = None, **options: Any) -> Any:
        """The JSON answer of a call that must go well."""
        fine, printed = self.run(tool, given, **options)
        assert fine, printed
        return msgspec.json.decode(printed) if printed.strip() else None

    def fail(self, tool: str, given: Any = None, **options: Any) -> str:
        """What it printed about a call that must fail."""
        fine, printed = self.run(tool, given, **options)
        assert not fine, printed
        return printed


@pytest.fixture
def cli(packages: Path, home: Home) -> Cli:
    return Cli(packages, home)
