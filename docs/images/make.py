"""Makes the pictures of the pages anew, from the runs that docs/first-sweep.md and docs/audits.md leave.

    python docs/images/make.py runs/first-da610271 runs/lossy-9ea9bd87
    python docs/images/make.py http://127.0.0.1:8265/#/jobs/first-9cabc86f.1

The second form is given the page of a job that runs. Needs Chromium.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
WIDTH = 960


def main(given: list[str]) -> None:
    """Write the pictures beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        if len(given) == 1:
            dashboard(page, given[0])
        else:
            reports(page, *map(Path, given))
        browser.close()


def reports(page: Page, first: Path, lossy: Path) -> None:
    """report.png, power.png and viewer.png."""
    report(page, first)
    page.screenshot(path=HERE / "report.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": 800})
    page.locator("img").nth(1).screenshot(path=HERE / "power.png")
    report(page, lossy)
    page.locator("#viewer").screenshot(path=HERE / "viewer.png")


def dashboard(page: Page, job: str) -> None:
    """dashboard.png: what each engine is at."""
    page.goto(job)
    heading = page.get_by_text("Task Table")
    heading.click(timeout=100_000)
    page.get_by_text(re.compile(r"accuracy [01]\.\d{3} so far")).first.wait_for(timeout=100_000)
    heading.evaluate("each => each.scrollIntoView()")
    page.mouse.wheel(0, -120)  # The page's head would hide it.
    page.wait_for_timeout(500)
    page.screenshot(path=HERE / "dashboard.png")


def report(page: Page, run: Path) -> None:
    """Open the HTML report of a run."""
    subprocess.run([sys.executable, "-m", "sweep.cli", "show", str(run), "--no-open"], check=True)
    page.goto((run / "report.html").absolute().as_uri())
    page.wait_for_selector("#viewer:not([hidden])")


if __name__ == "__main__":
    main(sys.argv[1:])
