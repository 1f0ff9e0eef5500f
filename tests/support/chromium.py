"""A real Chromium for tests of the console, driven by Playwright; where it is not installed, tests that need it are skipped by name."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
NARROW: ViewportSize = {"width": 360, "height": 740}
WIDE: ViewportSize = {"width": 1280, "height": 800}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. In a container it has no sandbox of its own to use."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """A page, and what it complains of: errors of scripts, reports of the security policy, dialogs."""
    page, complaints = context.new_page(), list[str]()

    def hear(message: ConsoleMessage) -> None:
        # A page that is refused is one; what the test looks at says so itself.
        if message.type in ("error", "warning") and "the server responded with a status" not in message.text:
            complaints.append(message.text)

    def dismiss(dialog: object) -> None:
        complaints.append(f"a dialog: {dialog}")
        dialog.dismiss()  # type: ignore[attr-defined]

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", dismiss)
    return page, complaints
