"""Makes the pictures of the pages anew, from the runs that docs/first-sweep.md and docs/audits.md leave.

    python docs/images/make.py runs/first-da610271 runs/lossy-9ea9bd87

Needs Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
WIDTH = 960


def main(first: Path, lossy: Path) -> None:
    """Write report.png, viewer.png and power.png beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        report(page, first)
        page.screenshot(path=HERE / "report.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": 800})
        page.locator("img").nth(1).screenshot(path=HERE / "power.png")
        report(page, lossy)
        page.locator("#viewer").screenshot(path=HERE / "viewer.png")
        browser.close()


def report(page: Page, run: Path) -> None:
    """Open the HTML report of a run."""
    subprocess.run([sys.executable, "-m", "sweep.cli", "show", str(run), "--no-open"], check=True)
    page.goto((run / "report.html").absolute().as_uri())
    page.wait_for_selector("#viewer:not([hidden])")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
