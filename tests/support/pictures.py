"""`make pictures`: the pictures of docs/console.md, of a service of its own that `skald demo` has filled."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

import httpx
from playwright.sync_api import Page, ViewportSize

from cli.process.child import Child
from store.postgres.pool import connect
from store.tables import identity, usage
from store.tables.usage import Count
from tests.support.chromium import NARROW, chromium
from tests.support.servers import ROOT, free_port

FOLDER = ROOT / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1000, "height": 560}
# By the name of the picture: the path below the project, the colour scheme, and the size of the screen.
PICTURES: dict[str, tuple[str, Literal["light", "dark"], ViewportSize]] = {
    "list": ("skills", "light", SIZE),
    "search": ("search?q=error", "light", SIZE),
    "page": ("skills/code-review", "light", SIZE),
    "file-dark": ("skills/code-review/files/scripts/changed_lines.sh", "dark", SIZE),
    "timeline": ("skills/code-review/timeline", "light", SIZE),
    "past": ("skills/code-review?position=4", "light", SIZE),
    "compare": ("skills/code-review/compare?from=1&to=4&view=beside", "light", SIZE),
    "blame": ("skills/code-review/blame", "dark", SIZE),
    "usage": ("skills/code-review/usage", "light", SIZE),
    "move": ("skills/code-review/move?label=production&version=4", "light", SIZE),
    "promotion": ("promotions/{promotion}", "light", SIZE),
    "manage": ("skills/code-review/manage", "light", SIZE),
    "audit": ("audit", "light", SIZE),
    "live": ("live", "light", SIZE),
    "keys": ("keys", "light", SIZE),
    "new-key": ("keys/new", "light", SIZE),
    "webhook": ("webhooks/{webhook}", "light", SIZE),
    "health": ("health", "dark", SIZE),
    "narrow": ("prompts/ticket-triage", "light", NARROW),
    # They write, and come last.
    "edit": ("skills/code-review/edit", "light", SIZE),
    "preview": ("skills/code-review/edit", "light", SIZE),
    "conflict": ("skills/code-review/edit", "light", SIZE),
}


def _to_preview(page: Page) -> None:
    text = page.get_by_label("Text of SKILL.md")
    text.fill(text.input_value().replace("Run the tests.", "Run the tests, all of them."))
    page.get_by_label("License").fill("MIT")
    page.get_by_role("button", name="Preview and publish").click()


def _to_conflict(page: Page) -> None:
    """Another tab, with a draft of its own, is first."""
    page.get_by_role("button", name="Discard the draft").click()
    page.get_by_role("link", name="Edit", exact=True).click()
    other = page.context.new_page()
    other.goto(page.url)
    text = other.get_by_label("Text of SKILL.md")
    text.fill(text.input_value() + "\nSay what is good, too.\n")
    other.get_by_role("button", name="Preview and publish").click()
    other.get_by_label("Note for the version").fill("Praise")
    other.get_by_role("button", name="Publish version").click()
    other.close()
    _to_preview(page)


# What is done on the page before its picture is taken.
WRITTEN = {"preview": _to_preview, "conflict": _to_conflict}
QUALITY = 55  # of JPEG: a third of the bytes of PNG, and every letter can be read
READY_WITHIN = 120.0  # seconds
SENT_WITHIN = 5.0  # seconds until the first attempts of a webhook have failed


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="skald-pictures-") as folder:
        Path(folder).chmod(0o711)
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        env = {name: text for name, text in os.environ.items() if not name.startswith("SKALD_")}
        env |= {"SKALD_DATA_DIR": f"{folder}/data", "SKALD_PORT": str(port), "SKALD_WORKERS": "1"}
        skald = [sys.executable, "-m", "cli.main"]
        service = Child("serve", [*skald, "serve"], env=env)
        try:
            wait_for(base)
            subprocess.run([*skald, "demo"], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            asyncio.run(
                read_for_weeks(json.loads(Path(f"{folder}/data/servers.json").read_text())["database_url"])
            )
            ada, grace, owner = (
                key_of(skald, env, name)
                for name in ("ada@demo.skald.local", "grace@demo.skald.local", "owner@skald.local")
            )
            made = {"webhook": operate(skald, env, base), "promotion": ask(base, ada, grace)}
            take(base, owner, made)
        finally:
            service.stop(timeout=30)


# Who reads, how often a day, and the first days ago of each version that is read.
READERS: dict[str, tuple[int, dict[int, int]]] = {
    "review-bot": (9, {4: 3, 3: 12, 2: 30}),
    "ci": (5, {2: 27, 1: 30}),
    "laptop of Ada": (2, {4: 6, 3: 17}),
}


async def read_for_weeks(database_url: str) -> None:
    """Counts as three keys leave them that read a skill of the demo day by day, the one sooner and the other later in its new version."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    async with await connect(database_url) as conn:
        [user, *_] = await identity.list_users(conn)
        found = await conn.execute(
            "SELECT number, versions.id FROM versions JOIN artifacts USING (stream_id) WHERE name = 'code-review'"
        )
        ids = dict(await found.fetchall())
        for label, (often, since) in READERS.items():
            key, _ = await identity.create_key(conn, email=user.email, scopes=["llm_skill:read"], label=label)
            counts = []
            for ago in range(max(since.values()), -1, -1):
                version = max(number for number, first in since.items() if ago <= first)
                hour = (now - timedelta(days=ago)).timestamp()
                reads = often + ago * often % 4
                counts.append(Count(ids[version], hour, "api", key.id, False, reads, 0, hour, hour))
            await usage.add(conn, uuid4(), 1, counts)


def wait_for(base: str) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{base}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service did not start")


def operate(skald: list[str], env: dict[str, str], base: str) -> str:
    """A person with a key, and a webhook whose receiver is away. Returns the id of that."""
    for command in (
        "user create ann@example.com --first-name Ann --last-name Author",
        "key create --user ann@example.com --project 1 --scope llm_skill:write --scope event:read "
        "--label web-team --expires 90d",
    ):
        subprocess.run([*skald, *command.split()], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    key = Path(env["SKALD_DATA_DIR"], "first-key").read_text().strip()
    with httpx.Client(
        base_url=f"{base}/api/projects/1/webhooks/", headers={"Authorization": f"Bearer {key}"}
    ) as client:
        # `.invalid` is a name that nothing ever has.
        sent = {"url": "https://deploys.invalid/hook", "description": "deploys", "names": "skill/*"}
        webhook: str = client.post("", json=sent).json()["id"]
        client.post(f"{webhook}/replay", json={"from": 1, "to": 1000})
    time.sleep(SENT_WITHIN)
    return webhook


def key_of(skald: list[str], env: dict[str, str], email: str) -> str:
    """A key of a person, for everything."""
    making = [*skald, "key", "create", "--user", email, "--project", "1", "--scope", "*"]
    made = subprocess.run(making, env=env, cwd=ROOT, check=True, capture_output=True, text=True)
    return made.stdout.strip()


def ask(base: str, author: str, reviewer: str) -> str:
    """A promotion that one of two people has approved: its id. The label is set before it is protected."""
    address = f"{base}/api/projects/1/"
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {author}"}) as client:
        skill = "llm_skills/name/code-review"
        client.put(f"{skill}/labels/production", json={"version": 2}).raise_for_status()
        client.put("label-policies/production", json={"approvals": 2}).raise_for_status()
        wanted = {"label": "production", "version": 4, "note": "Tried on the last twenty pull requests"}
        asked = client.post(f"{skill}/promotions/", json=wanted).raise_for_status()
    id = str(asked.json()["id"])
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {reviewer}"}) as client:
        said = {"comment": "Finds what the old one missed"}
        client.post(f"promotions/{id}/approve/", json=said).raise_for_status()
    return id


def take(base: str, key: str, made: dict[str, str]) -> None:
    """``made`` are ids that addresses of pictures have in them."""
    FOLDER.mkdir(exist_ok=True)
    with chromium() as browser:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{base}/console/projects/1/skills")
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Skills").wait_for()
        state = context.storage_state()
        for name, (path, scheme, size) in PICTURES.items():
            shown = browser.new_context(storage_state=state, color_scheme=scheme, viewport=size)
            page = shown.new_page()
            page.goto(f"{base}/console/projects/1/{path.format(**made)}")
            if name in WRITTEN:
                WRITTEN[name](page)
            page.wait_for_timeout(300)
            page.screenshot(path=FOLDER / f"console-{name}.jpg", type="jpeg", quality=QUALITY)
            shown.close()


if __name__ == "__main__":
    main()
