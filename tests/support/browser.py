"""A real browser: Playwright driving Debian's chromium, without a network of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

# A busy machine paints late; what is never painted fails all the same.
expect.set_options(timeout=30_000)

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
)


def chromium() -> str:
    """Where chromium is; the test is skipped where there is none, and fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have Debian's chromium")
        pytest.skip("no chromium on the PATH")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser process for the tests of a module."""
    executable = chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page of a desktop's size; a script error or a refused resource on it fails the test."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert faults == []


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    """A page of Prefect's own UI, whose console is not ours to judge."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    yield opened
    context.close()


def until(page: Page, condition: str, *, within_s: float = 10.0) -> None:
    """Wait for a condition in the page's own words.

    Playwright's `wait_for_function` compiles text inside the page, which a strict content security policy forbids.
    """
    deadline = time.monotonic() + within_s
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {condition}"
        page.wait_for_timeout(20)
