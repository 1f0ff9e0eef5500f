"""Prompts against the MLflow Prompt Registry: its own server, on the same PostgreSQL, asked over HTTP by the same generator.

MLflow is no part of the project's lock. It is installed once, by pip, into an environment of its own under
``~/.cache/skald-bench/mlflow`` (about 1 GB); where that cannot be done the table says so and has no rows.

Each of the requests is the one by which MLflow's own client writes or reads a version. At each read that client first sends
another one, for the prompt; it is left out, so MLflow has the easier task, and it checks no key. What its client then keeps for a
minute is the client's doing, and would help any service as much.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import quote

import httpx
import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import document, fill
from benchmarks.figures import milliseconds, show_ratio
from benchmarks.plan import Plan
from benchmarks.pressure import Push, Pushed
from benchmarks.report import Table
from benchmarks.stage import Server, Stage, free_port, measured, service
from cli.process.child import Child
from store.postgres.pool import connect

VERSION = "3.17.2"
PACKAGES = (f"mlflow=={VERSION}", "psycopg2-binary")
PLACE = Path.home() / ".cache" / "skald-bench" / "mlflow"
INSTALL_WITHIN = 900.0  # seconds
START_WITHIN = 180.0
CONNECTIONS = 8
NAMES = tuple(f"prompt-{number}" for number in range(CONNECTIONS))
LABEL = "production"
READS, WRITES = 10.0, 5.0  # times MLflow
API = "/api/2.0/mlflow"
# Markdown of about 2 KB, as a skill's, well below the 100,000 characters that MLflow allows a prompt.
TEXT = document.body(1)


class MlflowMissing(Exception):
    """It is not installed and cannot be."""


def run(on: Stage, plan: Plan) -> Table:
    """Both with the same number of server processes and of connections, in turns."""
    table = Table(
        title=f"Prompts: {plan.workers} API processes against MLflow {VERSION} with as many, {CONNECTIONS} connections",
        head=("request", "Skald/s", "p50 ms", "p99 ms", "MLflow/s", "its p50 ms", "its p99 ms", "ratio"),
        notes=[
            "Skald checks a key, its scopes and budget; MLflow checks none. Both keep their data in the same PostgreSQL.",
            "MLflow: the one request for the version; its client sends another one for the prompt at each read.",
            "register: a new version of a prompt that is there, 2 KB.",
        ],
    )
    try:
        program = installed()
    except MlflowMissing as missing:
        table.notes.insert(0, f"Skipped: {missing}")
        return table
    project_id, key = asyncio.run(_project(on))
    path = f"/api/projects/{project_id}/llm_prompts"
    with service(on, workers=plan.workers) as ours, _mlflow(on, program, plan.workers) as theirs:
        _make_ours(ours, path, key)
        _make_theirs(theirs)
        name = NAMES[0]
        kinds = {
            "get latest": (
                _get(ours, f"{path}/name/{name}", key),
                _get(theirs, f"{API}/registered-models/alias?name={name}&alias=latest"),
            ),
            "get by label or alias": (
                _get(ours, f"{path}/name/{name}?label={LABEL}", key),
                _get(theirs, f"{API}/registered-models/alias?name={name}&alias={LABEL}"),
            ),
            "register": (
                Push(port=ours.port, key=key, path=path, rate=0, seconds=0, names=NAMES, prompts=True),
                Push(
                    port=theirs.port, key="", path="", rate=0, seconds=0, names=NAMES, texts=_registrations()
                ),
            ),
        }
        for what, jobs in kinds.items():
            found: tuple[list[Pushed], list[Pushed]] = ([], [])
            # What a process does at its first request counts for neither.
            for job in jobs:
                _push(job, plan)
            for turn in range(plan.rounds):
                for side in (0, 1) if turn % 2 == 0 else (1, 0):
                    found[side].append(_push(jobs[side], plan))
            _add(table, what, *found)
    return table


def _add(table: Table, what: str, ours: list[Pushed], theirs: list[Pushed]) -> None:
    for side, runs in (("Skald", ours), ("MLflow", theirs)):
        if wrong := next((run.first_other for run in runs if run.first_other), ""):
            raise RuntimeError(f"{side} refused to {what}: {wrong}")
    cells = []
    for runs in (ours, theirs):
        cells += [
            f"{median(run.rate for run in runs):,.0f}",
            *(milliseconds(median(run.latency(percent) for run in runs)) for percent in (50, 99)),
        ]
    ratios = [mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)]
    table.add(what, *cells, show_ratio(ratios, WRITES if what == "register" else READS))


def _push(job: Push, plan: Plan) -> Pushed:
    job = msgspec.structs.replace(job, seconds=plan.warmup + plan.seconds)
    return measured("benchmarks.pressure", job, Pushed, timeout=plan.timeout)


def _get(server: Server, path: str, key: str = "") -> Push:
    return Push(port=server.port, key=key, path="", rate=0, seconds=0, names=NAMES, paths=(path,))


# Skald ------------------------------------------------------------------------------------------------------------


async def _project(on: Stage) -> tuple[int, str]:
    async with await connect(on.database_url) as conn:
        return await fill.project(conn, "Prompts")


def _make_ours(server: Server, path: str, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=30) as http:
        for name in NAMES:
            http.post(f"{path}/", json={"name": name, "prompt": TEXT}).raise_for_status()
            label = http.put(f"{path}/name/{name}/labels/{LABEL}", json={"version": 1})
            label.raise_for_status()


# MLflow -----------------------------------------------------------------------------------------------------------


def installed() -> Path:
    """The ``mlflow`` program; installs it when it is not there. Raises MlflowMissing."""
    program = PLACE / "bin" / "mlflow"
    stamp = PLACE / f".installed-{VERSION}"
    if stamp.exists():
        return program
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    print(f"Installing MLflow {VERSION} into {PLACE}, once …", file=sys.stderr)
    # Debian's python3 has venv but not ensurepip, so whichever pip there is fills the environment.
    commands = (
        [sys.executable, "-m", "venv", "--without-pip", str(PLACE)],
        [
            _python_with_pip(),
            "-m",
            "pip",
            "--python",
            str(PLACE / "bin" / "python"),
            "install",
            "-q",
            *PACKAGES,
        ],
    )
    for command in commands:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_WITHIN, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MlflowMissing(f"MLflow {VERSION} cannot be installed: {error}") from error
        if done.returncode != 0:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise MlflowMissing(f"MLflow {VERSION} cannot be installed: {reason[:300]}")
    stamp.touch()
    return program


def _python_with_pip() -> str:
    for python in (sys.executable, "python3"):
        if (
            subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode
            == 0
        ):
            return python
    raise MlflowMissing("there is no pip")


@contextmanager
def _mlflow(on: Stage, program: Path, workers: int) -> Iterator[Server]:
    """Its server on a database of its own, with the settings that it has by itself."""
    name = f"mlflow_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(on.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    folder = on.folder / name
    folder.mkdir()
    port = free_port()
    command = [
        str(program.parent / "python"), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", str(workers), "--backend-store-uri", sqlalchemy_url(make_conninfo(on.database_url, dbname=name)),
        "--no-serve-artifacts", "--default-artifact-root", str(folder / "artifacts"), "--allowed-hosts", "*",
    ]  # fmt: skip
    env = {name: text for name, text in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    env |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    log = folder / "log"
    with log.open("wb") as output:
        child = Child("mlflow", command, env=env, output=output, cwd=folder)
    try:
        deadline = time.monotonic() + START_WITHIN
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                    break
            if child.exit_code() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MLflow did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.2)
        yield Server(port, child.pid)
    finally:
        child.stop(timeout=20)


def sqlalchemy_url(conninfo: str) -> str:
    """The address of a database as MLflow takes it."""
    address = conninfo_to_dict(conninfo)
    user, database = quote(str(address["user"])), quote(str(address["dbname"]))
    password = f":{quote(str(address['password']), safe='')}" if address.get("password") else ""
    host = quote(str(address["host"]), safe="")
    return f"postgresql+psycopg2://{user}{password}@/{database}?host={host}&port={address.get('port', 5432)}"


def _make_theirs(server: Server) -> None:
    """What MLflow's client sends to register a prompt, and to point an alias to it."""
    is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}{API}", timeout=60) as http:
        for name in NAMES:
            model = {"name": name, "tags": [is_prompt]}
            http.post("/registered-models/create", json=model).raise_for_status()
            http.post("/model-versions/create", json=_version(name)).raise_for_status()
            alias = {"name": name, "alias": LABEL, "version": "1"}
            http.post("/registered-models/alias", json=alias).raise_for_status()


def _version(name: str) -> dict[str, object]:
    tags = {
        "mlflow.prompt.is_prompt": "true",
        "mlflow.prompt.text": TEXT,
        "_mlflow_prompt_type": "text",
    }
    return {
        "name": name,
        "source": "prompt-template",
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }


def _registrations() -> dict[str, str]:
    """A whole request by name."""
    requests = {}
    for name in NAMES:
        body = json.dumps(_version(name))
        requests[name] = (
            f"POST {API}/model-versions/create HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}"
        )
    return requests
