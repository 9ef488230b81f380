"""The HTML report: what its viewer packs, what a browser makes of it, and that outputs stay data."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from sweep.report.html.viewer import Packed, pack
from sweep.run.folder import Run
from sweep.run.questions import PinnedQuestion
from tests.browser import browser as chromium
from tests.browser import needs_chromium
from tests.processes import sweep
from tests.runs import finished
from tests.tables import changed, table

HOSTILE = (
    "</script><script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 2'>",
    "\x1b[2J\x1b]8;;http://example.com\x07 \u202eright to left\u202c \u2028",
    "{{ 7 * 7 }} &lt;b&gt; <b>bold</b> `code` **strong** ]]> --> \\u003cscript\\u003e",
)


def asked(number: int) -> list[PinnedQuestion]:
    return [
        PinnedQuestion(id=f"test-{n}", question=f"What is {n}?", gold="1", cluster=None)
        for n in range(5, 5 + number)
    ]


def unpacked(packed: Packed) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(packed.data)))


def test_the_question_that_flips_most_comes_first_and_equal_outputs_are_stored_once() -> None:
    # Right in 3, 2, 1 and 0 of 3 repetitions; and all wrong.
    flipping = table("a", [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    still = table("b", [[0, 0, 1, 0]] * 3)
    packed = pack([flipping, still], asked(4))
    assert (packed.asked, packed.flipping, packed.left_out) == (4, 2, 0)
    document = unpacked(packed)
    assert [variant["name"] for variant in document["variants"]] == ["a", "b"]
    assert [question["id"] for question in document["questions"]] == ["test-6", "test-7", "test-5", "test-8"]
    first = document["questions"][0]
    assert (first["outputs"], first["answers"]) == (["It is 1", "It is 0"], ["1", "0"])
    assert [cell["right"] for cell in first["cells"]] == ["110", "000"]
    assert [cell["output"] for cell in first["cells"]] == [[0, 0, 1], [1, 1, 1]]


def test_an_output_without_an_answer_is_invalid_and_one_that_was_cut_truncated() -> None:
    given = table("a", [[0], [1]])
    given.answer[0, 0] = None
    given = changed(given, invalid=~given.correct, truncated=given.correct)
    (cell,) = unpacked(pack([given], asked(1)))["questions"][0]["cells"]
    assert (cell["invalid"], cell["truncated"], cell["answer"]) == ("10", "01", [-1, 0])


def noise(runs: int, questions: int) -> list[list[str]]:
    """(runs, questions) outputs of 2,000 letters, no two of them alike."""
    letters = random.Random(0)
    return [["".join(letters.choices("abcdefghij", k=2000)) for _ in range(questions)] for _ in range(runs)]


def test_of_outputs_beyond_the_bound_a_right_and_a_wrong_one_are_kept() -> None:
    outputs = noise(4, 2)
    given = table("a", [[0, 1], [1, 1], [1, 1], [0, 1]], outputs)
    # An output takes 830 bytes or more (2,000 letters of ten): the bound has room for three, and four come first.
    whole, bounded = pack([given], asked(2)), pack([given], asked(2), largest=3_000)
    assert (whole.briefly, bounded.briefly, bounded.left_out) == (False, True, 0)
    flipping, still = unpacked(bounded)["questions"]
    assert flipping["outputs"] == [outputs[0][0], outputs[1][0], None, None]
    assert still["outputs"] == [outputs[0][1], None, None, None]
    assert flipping["cells"][0]["output"] == [0, 1, 2, 3]


def test_outputs_beyond_that_are_left_out_of_the_questions_that_flip_least() -> None:
    # The last ten questions flip.
    given = table("a", [[1] * 30, [1] * 20 + [0] * 10], noise(2, 30))
    whole, bounded = pack([given], asked(30)), pack([given], asked(30), largest=20_000)
    assert (whole.briefly, whole.left_out, bounded.briefly) == (False, 0, True)
    assert 0 < bounded.left_out < 30
    # The bound, one question more, and the outcomes.
    assert len(bounded.data) < 4 / 3 * (20_000 + 4_000 + 30 * 200)
    questions = unpacked(bounded)["questions"]
    kept = [any(question["outputs"]) for question in questions]
    assert kept == [True] * (30 - bounded.left_out) + [False] * bounded.left_out
    assert [q["id"] for q in questions][:10] == [f"test-{n}" for n in range(25, 35)]
    assert all(question["cells"][0]["right"] for question in questions)


def test_half_a_character_and_what_turns_a_line_around_are_written_as_escapes() -> None:
    packed = pack([table("a", [[1]], [["\ud800 and \u202e\x1b"]])], asked(1))
    assert unpacked(packed)["questions"][0]["outputs"] == ["\\ud800 and \\u202e\\x1b"]


def test_a_variant_without_a_complete_repetition_is_not_in_the_viewer() -> None:
    (variant,) = unpacked(pack([table("none", np.empty((0, 2))), table("a", [[1, 1]])], asked(2)))["variants"]
    assert variant["name"] == "a"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """mtp answers test-5 right in its second repetition only; each output begins with something hostile."""

    def wrong(variant: str, repetition: int) -> Sequence[str]:
        return ["test-5"] if variant == "mtp" and repetition != 2 else []

    return finished(
        tmp_path_factory.mktemp("shown"),
        wrong,
        "engine.model=<img src=x onerror='window.ran = 3'>",
        written=lambda question, answer: HOSTILE[int(question.split("-")[1]) % len(HOSTILE)] + answer,
    )


@pytest.fixture(scope="module")
def file(run: Run) -> Path:
    done = sweep("show", run.folder, "--no-open")
    assert done.returncode == 0, done.stderr
    return run.folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    # Whatever is loaded beside the file itself, and whatever fails.
    faults: list[str] = []
    opened.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(r.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(file.as_uri())
    opened.wait_for_selector("#viewer:not([hidden])")
    yield opened
    assert faults == []
    opened.close()


def listed(page: Page) -> list[str]:
    return page.locator("#list [data-question]").all_inner_texts()


@needs_chromium
def test_a_flipped_question_is_found_and_a_right_output_stands_beside_a_wrong_one(page: Page) -> None:
    assert listed(page) == ["test-5"]
    cells = page.locator("#list tbody td")
    assert cells.all_inner_texts() == ["3/3", "1/3"]
    assert page.locator("#list td.flips").all_inner_texts() == ["1/3"]
    assert page.locator("#detail h3").inner_text() == "test-5"
    left, right = page.locator(".sides pre").all_inner_texts()
    assert left.endswith(" 5+5=10\n#### 10")
    assert right.endswith(" -1")
    assert page.locator(".sides mark").count() > 0
    assert page.locator(".sides mark", has_text="-1").count() == 1
    assert "mtp r02" in page.locator(".sides select").first.locator("option:checked").inner_text()


@needs_chromium
def test_what_outputs_hold_is_shown_and_never_run(page: Page) -> None:
    page.locator("input[value=all]").check()
    for question in ("test-4", "test-5", "test-6", "test-7"):
        page.locator(f"[data-question={question}]").click()
        shown = page.locator(".sides pre").first
        hostile = HOSTILE[int(question[-1]) % len(HOSTILE)]
        escaped = hostile.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
        for character in "\u202e\u202c\u2028":
            escaped = escaped.replace(character, f"\\u{ord(character):04x}")
        assert shown.evaluate("each => each.textContent").startswith(escaped)
        assert shown.evaluate("each => [...each.querySelectorAll('*')].every(x => x.tagName === 'MARK')")
    assert page.evaluate("window.ran") is None
    assert page.locator("img:not([src^='data:'])").count() == 0
    assert "<img src=x" in page.locator(".of").inner_text()


@needs_chromium
def test_the_page_can_neither_run_nor_load_anything_else(page: Page) -> None:
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = 4";
            document.body.append(script);
            const image = document.createElement("img");
            image.setAttribute("onerror", "window.ran = 5");
            image.src = "data:,";
            document.body.append(image);
        }"""
    )
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')") == "refused"
    assert page.evaluate("window.ran") is None


@needs_chromium
def test_questions_are_filtered_by_variant_and_outcome_and_searched_in_their_outputs(page: Page) -> None:
    page.locator("#variant").select_option(label="baseline")
    assert listed(page) == []
    assert page.locator("#detail").inner_text() == "No question matches."
    page.locator("input[value=all]").check()
    assert len(listed(page)) == 40
    assert page.locator("#list thead th").all_inner_texts() == ["question", "baseline"]
    page.locator("#variant").select_option(label="all")
    page.locator("input[value=wrong]").check()
    assert listed(page) == ["test-5"]
    page.locator("input[value=invalid]").check()
    assert listed(page) == []
    page.locator("input[value=all]").check()
    # 7 + 7, in the output of one question alone, and in another case.
    page.locator("#search").fill("7+7=14")
    assert listed(page) == ["test-7"]
    page.locator("#search").fill("WHAT IS 9 +")
    assert listed(page) == ["test-9"]


@needs_chromium
def test_a_question_and_a_repetition_are_chosen_with_the_keyboard_alone(page: Page) -> None:
    page.locator("input[value=all]").check()
    page.locator("[data-question=test-5]").focus()
    page.keyboard.press("ArrowDown")
    below = listed(page)[1]
    assert page.locator("#detail h3").inner_text() == below
    assert page.locator("#list [aria-current] button").inner_text() == below
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.locator(".sides select").nth(1).input_value() == "0,0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Enter")
    assert page.locator(".sides select").nth(0).input_value() == "0,1"
    assert "the same" in page.locator("#detail").inner_text()


@needs_chromium
@pytest.mark.parametrize("width", [400, 1280])
def test_no_part_of_the_page_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_paper_has_all_that_is_folded_on_a_screen_and_nothing_to_click(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert not page.locator("#filter").is_visible()
    assert page.locator("#list").evaluate("list => getComputedStyle(list).maxHeight") == "none"


@needs_chromium
def test_every_figure_and_control_says_what_it_is(page: Page) -> None:
    assert page.locator("img").count() > 0
    assert all(alt for alt in page.locator("img").evaluate_all("all => all.map(each => each.alt)"))
    # What a screen reader finds, by role and name.
    assert page.get_by_role("combobox", name="Variant").count() == 1
    assert page.get_by_role("searchbox", name="Search").count() == 1
    assert page.get_by_role("group", name="Show").count() == 1


def test_the_report_is_written_where_it_is_wanted(run: Run, tmp_path: Path) -> None:
    there = tmp_path / "there.html"
    done = sweep("show", run.folder, "--output", there, "--no-open")
    assert (done.returncode, str(there) in done.stdout) == (0, True)
    assert "<title>made-" in there.read_text()
    refused = sweep("show", run.folder, "--output", tmp_path, "--no-open")
    assert (refused.returncode, str(tmp_path) in refused.stderr.splitlines()[-1]) == (2, True)


def test_a_run_of_which_nothing_is_measured_yet_is_shown_too(tmp_path: Path) -> None:
    made = finished(tmp_path, {"baseline": 0, "mtp": 0})
    for samples in made.samples_folder.iterdir():
        samples.unlink()
    done = sweep("show", made.folder, "--no-open")
    assert done.returncode == 0, done.stderr
    assert "0 flip" in done.stdout


def test_a_contract_in_spite_of_a_failed_audit_is_told_with_the_answer(tmp_path: Path) -> None:
    made = finished(tmp_path, {"baseline": 4, "mtp": 16}, "audits={accept_failures: known}")
    assert sweep("show", made.folder, "--no-open").returncode == 0
    answer = (made.folder / "report.html").read_text().partition('id="answer"')[2].partition("</section>")[0]
    assert "lossless of mtp" in answer


@needs_chromium
def test_values_are_shown_as_numbers_and_by_their_metric_s_name(browser: Browser, tmp_path: Path) -> None:
    rates = {1: (0.25, 0.5), 2: (0.75, 0.5)}
    rows = [f"q{q},a,{run},{rate}" for run, both in rates.items() for q, rate in enumerate(both)]
    (tmp_path / "w.csv").write_text("\n".join(["question,variant,repetition,wer", *rows]) + "\n")
    options = ("--metric", "wer", "--range", 0, "inf", "--lower-is-better", "--name", "w", "--runs", tmp_path)
    assert sweep("import", tmp_path / "w.csv", *options).returncode == 0
    (folder,) = tmp_path.glob("w-*")
    assert sweep("show", folder, "--no-open").returncode == 0
    opened = browser.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto((folder / "report.html").as_uri())
    opened.wait_for_selector("#viewer:not([hidden])")
    assert listed(opened) == ["q0"]  # the other one is worth the same in both repetitions
    assert opened.locator("#list tbody td").all_inner_texts() == ["0.500"]
    assert opened.locator(".cells button").all_inner_texts() == ["0.25", "0.75"]
    assert opened.locator("#kind label:visible").count() == 4  # no answer is right or wrong
    text = opened.locator("body").inner_text()
    assert "wer, mean" in text
    assert "accuracy" not in text.replace("accuracy-sweep", "").lower()
    assert faults == []
    opened.close()
