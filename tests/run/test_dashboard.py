"""Ray's dashboard while a sweep runs, as a browser shows it to whoever follows what the launch prints."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import browser, needs_chromium
from tests.conftest import small_sweep
from tests.processes import until

AGENT_PORT = 52365
"""What Ray serves its logs at unless it is told of another."""
PATIENCE = 100_000.0
"""Milliseconds for what a page is to show, which it loads again by itself."""
# Far more units of about 0.4 s than are waited for.
LONG = ("repetitions=1000", "engine.arguments={accuracy: 0.6, noise: 0.5, seconds_per_token: 0.001}")

pytestmark = needs_chromium


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A sweep that runs."""

    process: subprocess.Popen[bytes]
    output: Path
    """What it prints."""

    @property
    def page(self) -> str:
        """The address that it prints, once it does."""
        return str(re.findall(r"http://\S+", self.output.read_text())[0])


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """Beside something that has the port that Ray would take for its logs."""
    folder = tmp_path_factory.mktemp("sweep")
    words = [word for change in LONG for word in ("--set", change)]
    command = [
        sys.executable,
        "-m",
        "sweep.cli",
        "launch",
        "--runs",
        str(folder / "runs"),
        str(small_sweep(folder)),
        *words,
    ]
    with pytest.MonkeyPatch.context() as patch, socket.socket() as other, (folder / "output").open("wb") as output:
        for variable in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
            patch.delenv(variable, raising=False)
        with suppress(OSError):  # Another Ray has it already.
            other.bind(("127.0.0.1", AGENT_PORT))
            other.listen()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        sweep = Launched(process=process, output=folder / "output")
        try:
            until(process, lambda: "http://" in sweep.output.read_text())
            yield sweep
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=100)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def token(launched: Launched) -> str:
    """What the command prints that the launch names."""
    (command,) = re.findall(r"asks for a token: `([^`]+)`", launched.output.read_text())
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def page(chromium: Browser, launched: Launched, token: str) -> Iterator[Page]:
    """The page whose address is printed, of somebody who has typed the token."""
    context = chromium.new_context(viewport={"width": 1500, "height": 1400})
    context.set_default_timeout(PATIENCE)
    address = launched.page.partition("/#")[0]
    context.add_cookies([{"name": "ray-authentication-token", "value": token, "url": address}])
    page = context.new_page()
    page.goto(launched.page)
    yield page
    context.close()


def test_the_page_that_is_printed_shows_what_each_engine_is_at(page: Page, launched: Launched) -> None:
    page.get_by_text("Task Table").click()
    for engine in ("engine-1", "engine-2"):
        at = re.compile(rf"{engine} \[(baseline|mtp)-r\d+, accuracy [01]\.\d{{3}} so far\]")
        page.get_by_text(at).first.wait_for()


def test_the_actors_are_named_after_the_sweep_and_the_log_of_its_own_tells_how_it_goes(
    page: Page, launched: Launched
) -> None:
    (sweep,) = (launched.output.parent / "runs").iterdir()
    page.goto(f"{launched.page}/actors")
    for name in (f"sweep/{sweep.name}/engine-1", f"sweep/{sweep.name}/engine-2"):
        page.get_by_text(name, exact=True).wait_for()
    own = page.get_by_role("row").filter(has=page.get_by_text(f"sweep/{sweep.name}", exact=True))
    own.get_by_role("link").first.click()
    wanted = re.compile(r"(baseline|mtp): accuracy [01]\.\d{3} so far; \d+ of 2000 units are done")
    page.get_by_text(":actor_name:").first.wait_for()
    while not wanted.search(page.inner_text("body")):
        page.reload()
        page.get_by_text(":actor_name:").first.wait_for()
    assert "engine-1, " in page.inner_text("body")


def test_a_dashboard_that_ended_with_the_launch_is_not_printed_again(launched: Launched) -> None:
    launched.process.send_signal(signal.SIGINT)
    launched.process.wait(timeout=100)
    assert launched.process.returncode == 130
    told = launched.output.read_text()
    assert "run folder" in told
    assert told.count(launched.page) == 1
