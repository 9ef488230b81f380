"""What one sees in MLflow's pages of a sweep of 120 repetitions, in a browser without a screen."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sweep.report.conclude import conclude
from sweep.report.export.mlflow import MlflowExporter
from sweep.report.export.mlflow_server import free_port, serving
from sweep.report.export.mlflow_view import LOCAL
from tests.runs import finished

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
VARIANTS = ["baseline", "baseline-det", "mtp", "mtp-det", "topk3", "topk3-det"]
PATIENCE = 180_000
"""Milliseconds for a page to show something: far more than it needs, on a machine that has other things to do."""


def wrong(variant: str, repetition: int) -> list[str]:
    """From 4 to 14 of the questions, more with every variant."""
    rng = random.Random(f"{variant}{repetition}")
    return [f"test-{number}" for number in rng.sample(range(2, 42), 4 + VARIANTS.index(variant) + rng.randrange(6))]


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What was printed of a sweep that is logged, as a server of one worker serves it: name to address."""
    folder = tmp_path_factory.mktemp("pages")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    variants = ", ".join(f"{name}: {{draft: {str('baseline' not in name).lower()}}}" for name in VARIANTS)
    run = finished(
        folder,
        wrong,
        f"variants={{{variants}}}",
        "repetitions=20",
        f"tracking={{uri: '{uri}', experiment: pages}}",
    )
    exported = MlflowExporter().sync(run, conclude(run, figures=True))
    assert exported.added == 121
    with serving(uri, free_port(None)) as server:
        server.wait_until_up()
        printed = (line.split() for line in exported.lines[-2:])
        yield {words[-2]: words[-1].replace(LOCAL, server.address) for words in printed}


@pytest.fixture(scope="module")
def browser(links: dict[str, str]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1600, "height": 1200})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def keep(page: Page, name: str, folder: Path) -> None:
    """A picture, for whoever wants to look; a busy machine may be too slow for it."""
    page.screenshot(path=folder / f"{name}.png", timeout=PATIENCE)


def test_the_printed_link_opens_on_points_of_all_six_variants(
    links: dict[str, str], page: Page, tmp_path: Path
) -> None:
    page.goto(links["repetitions"])
    drawn = "() => new Set([...document.querySelectorAll('.xtick text')].map(t => t.textContent)).size >= 6"
    page.wait_for_function(drawn)
    names = {name for name in page.locator(".xtick text").all_text_contents() if name in VARIANTS}
    assert names == set(VARIANTS)
    # As many runs as MLflow loads for a page.
    assert page.locator(".scatterlayer path.point").count() == 100
    assert page.get_by_text("Group by: variant").is_visible()
    keep(page, "repetitions", tmp_path)


def test_the_table_of_the_same_view_has_the_columns_that_matter(
    links: dict[str, str], page: Page, tmp_path: Path
) -> None:
    page.goto(links["repetitions"].replace("&compareRunsMode=CHART", ""))
    page.get_by_role("columnheader", name="accuracy").first.wait_for()
    headings = {text.strip() for text in page.get_by_role("columnheader").all_text_contents()}
    assert {"accuracy", "accept_length", "variant"} <= headings
    assert not any("/" in heading or "threshold" in heading for heading in headings)
    page.get_by_text("Group: ").first.wait_for()
    keep(page, "table", tmp_path)


def test_the_sweeps_own_page_shows_verdicts_thresholds_and_the_box_plot(
    links: dict[str, str], page: Page, tmp_path: Path
) -> None:
    page.goto(links["sweep"])
    page.get_by_text("Show more").first.click()
    shown = page.inner_text("body")
    assert "The threshold is" in shown
    assert "audits passed" in shown
    for variant in VARIANTS:
        page.get_by_text(f"{variant}/threshold", exact=True).wait_for()
    page.wait_for_function(
        "() => [...document.images].some(i => i.src.includes('repetitions.png') && i.naturalWidth)"
    )
    keep(page, "sweep", tmp_path)


def test_the_table_of_questions_is_shown_as_a_table(links: dict[str, str], page: Page, tmp_path: Path) -> None:
    page.goto(f"{links['sweep']}/artifacts/questions.json")
    page.get_by_text("unstable in").first.wait_for()
    page.get_by_text(re.compile(r"^test-\d+$")).first.wait_for()
    keep(page, "questions", tmp_path)
