"""What a long history costs: the same requests to prompts of 10 up to 10,000 versions, one after the other."""

import random
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import httpx

from benchmarks.figures import milliseconds
from benchmarks.plan import Plan
from benchmarks.report import Table
from benchmarks.stage import Stage, client, service

SIZES = (10, 100, 1_000, 10_000)
PAGE = 50

Measured = dict[str, float]


def run(on: Stage, plan: Plan) -> Table:
    """One API process. Each figure is the median of ``plan.rounds`` × 10 requests, of a cold process of ``plan.rounds``."""
    root = on.path.replace("llm_skills", "llm_prompts")
    results: list[Measured] = []
    with service(on, workers=1) as server, client(on, server) as http:
        for size in SIZES:
            fill(http, root, size)
        for size in SIZES:
            results.append(measure(http, root, size, plan.rounds * 10))
    # A process that starts knows nothing: its first publish folds the stream from the last snapshot.
    cold: list[list[float]] = [[] for _ in SIZES]
    for _ in range(plan.rounds):
        with service(on, workers=1) as server, client(on, server) as http:
            base = publish(http, root, SIZES[0])[1]
            publish(http, root, SIZES[0], base)
            for size, seconds in zip(SIZES[1:], cold[1:], strict=True):
                seconds.append(publish(http, root, size)[0])
        with service(on, workers=1) as server, client(on, server) as http:
            publish(http, root, SIZES[1])
            cold[0].append(publish(http, root, SIZES[0])[0])
    for measured, seconds in zip(results, cold, strict=True):
        measured["cold publish"] = median(seconds)
    table = Table(
        title="Versions of one prompt: milliseconds a request, and how many times that of the shortest history",
        head=("request", *(f"{size:,}" for size in SIZES), f"{SIZES[-1]:,} to {SIZES[0]:,}"),
        notes=[
            "get old: a version that no cache holds. deep page: the oldest versions, by offset and by version. cold: the first of a process."
        ],
    )
    for request in results[0]:
        ratio = results[-1][request] / results[0][request]
        table.add(request, *(milliseconds(measured[request]) for measured in results), f"{ratio:.2f}")
    return table


def fill(http: httpx.Client, root: str, size: int) -> None:
    """A prompt with that many versions."""
    body = {"name": name_of(size), "prompt": text_of(1)}
    http.post(f"{root}/", json=body).raise_for_status()
    for base in range(1, size):
        change = {"prompt": text_of(base + 1), "base_version": base}
        http.patch(f"{root}/name/{name_of(size)}", json=change).raise_for_status()


def measure(http: httpx.Client, root: str, size: int, times: int) -> Measured:
    name = name_of(size)
    latest = f"{root}/name/{name}"
    resolve = f"{root}/resolve/name/{name}"
    shuffled = random.Random(size)
    base = size

    def change() -> None:
        nonlocal base
        base = publish(http, root, size, base)[1]

    def get(path: str) -> Callable[[], Any]:
        return lambda: http.get(path).raise_for_status()

    # First, while none of them is cached.
    old = [
        timed(get(f"{latest}?version={number}"))
        for number in shuffled.sample(range(1, size + 1), min(size, times))
    ]
    return {
        "publish": repeated(change, times),
        "get latest": repeated(get(latest), times),
        "get old": median(old),
        "resolve first page": repeated(get(resolve), times),
        "resolve deep page, offset": repeated(get(f"{resolve}?offset={max(size - PAGE, 0)}"), times),
        "resolve deep page, version": repeated(get(f"{resolve}?before_version={PAGE + 1}"), times),
    }


def publish(http: httpx.Client, root: str, size: int, base: int | None = None) -> tuple[float, int]:
    """Seconds that a publish took, and the version that it made."""
    path = f"{root}/name/{name_of(size)}"
    if base is None:
        base = int(http.get(path).json()["version"])
    change = {"prompt": text_of(base + 1), "base_version": base}
    started = perf_counter()
    http.patch(path, json=change).raise_for_status()
    return perf_counter() - started, base + 1


def repeated(call: Callable[[], Any], times: int) -> float:
    """The median of the seconds that a call takes."""
    return median(timed(call) for _ in range(times))


def timed(call: Callable[[], Any]) -> float:
    started = perf_counter()
    call()
    return perf_counter() - started


def name_of(size: int) -> str:
    return f"versions-{size}"


def text_of(number: int) -> str:
    return f"You are the helpful agent of version {number}. " * 40
