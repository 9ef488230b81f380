"""A run folder that somebody has edited: no number comes of it, and what is wrong is measured again."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from sweep.commands.group import cli
from sweep.errors import BadInput, ExitCode
from sweep.plan.units import Unit
from sweep.report.conclude import conclude
from sweep.run.folder import open_run
from sweep.run.unit_files import UnitFiles
from sweep.tasks.gsm8k import Gsm8k
from tests.benchmarks.bit_flips import flips, made
from tests.edits import (
    FIRST,
    HARMLESS,
    HELD_EDITS,
    LINE_EDITS,
    RUN_EDITS,
    UNIT_EDITS,
    Edit,
    in_json,
    in_text,
    measure,
    parquet,
    rows,
    unit,
)
from tests.runs import samples_of

EDITS = UNIT_EDITS | HELD_EDITS | LINE_EDITS


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a measured run, and of its sweep file and data."""
    folder = tmp_path_factory.mktemp("original")
    measure(folder, folder / "runs")
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(run_of(original), tmp_path / "copy" / run_of(original).name))


def files(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder under the folder, and a file's content."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def read(folder: Path) -> dict[str, Any]:
    """Everything that numbers are made from, as another process reads it."""
    run = open_run(folder)
    tables = {name: vars(table) for name, table in run.variant_samples().items()}
    for table in tables.values():
        table["text"] = table.pop("texts")()
        table["token_ids"] = [ids if ids is None else list(ids) for ids in table["token_ids"]().ravel()]
    return {"tables": tables, "questions": run.questions(), "provenance": run.provenance()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    try:
        np.testing.assert_equal(one, other)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("edit", [pytest.param(e, id=n) for n, e in EDITS.items()])
def test_an_edited_unit_is_never_read_and_is_not_measured(copy: Path, edit: Edit) -> None:
    edit(copy)
    edited = files(copy)
    with pytest.raises(BadInput, match=FIRST):
        read(copy)
    assert files(copy) == edited
    measured, notes = open_run(copy).done()
    assert FIRST not in measured
    assert any(f"{FIRST}.corrupt" in note for note in notes)
    assert (copy / "samples" / f"{FIRST}.corrupt").exists()
    assert not parquet(copy).exists()


@pytest.mark.parametrize("name", ["all right", "a row too few", "shards swapped", "truncated", "its line removed"])
def test_what_was_edited_is_measured_again_and_nothing_else(original: Path, copy: Path, name: str) -> None:
    others = {file: file.read_bytes() for file in copy.glob("samples/mtp-*")}
    EDITS[name](copy)
    measure(original, copy.parent)
    again, before = (read(folder)["tables"]["baseline"] for folder in (copy, run_of(original)))
    for table in ("correct", "text", "answer", "fingerprint"):
        assert np.array_equal(again[table], before[table])
    assert {file: file.read_bytes() for file in copy.glob("samples/mtp-*")} == others


@pytest.mark.parametrize("name", ["seconds edited", "a row too few", "shards swapped", "bytes more", "a folder"])
def test_a_list_sees_the_edit_of_a_unit_s_file_without_reading_the_others(
    copy: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = copy / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes())  # as the last unit's line, or a report, does
    open_run(copy).check()
    EDITS[name](copy)
    looked_at: list[str] = []
    held = UnitFiles._held

    def looking(files: UnitFiles, unit: Unit) -> Any:
        looked_at.append(unit.id)
        return held(files, unit)

    monkeypatch.setattr(UnitFiles, "_held", looking)
    with pytest.raises(BadInput, match=r"cannot be used.*`sweep launch`"):
        open_run(copy).check()
    assert FIRST in looked_at
    assert len(looked_at) <= 2


@pytest.mark.parametrize("edit", [pytest.param(e, id=n) for n, e in UNIT_EDITS.items()])
def test_without_checksums_the_plan_and_the_outputs_show_the_edit(copy: Path, edit: Edit) -> None:
    edit(copy)
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(BadInput, match=FIRST):
        read(copy)
    measured, notes = open_run(copy).done()
    assert FIRST not in measured
    assert "no SHA256SUMS" in notes[0]


@pytest.mark.parametrize(("named", "edit"), [pytest.param(*e, id=n) for n, e in RUN_EDITS.items()])
def test_an_edit_of_what_a_verdict_rests_on_is_refused_with_the_file(copy: Path, named: str, edit: Edit) -> None:
    edit(copy)
    edited = files(copy)
    with pytest.raises(BadInput, match=named):
        read(copy)
    assert files(copy) == edited


@pytest.mark.parametrize("edit", [pytest.param(e, id=n) for n, e in HARMLESS.items()])
def test_an_edit_that_changes_no_number_changes_nothing(original: Path, copy: Path, edit: Edit) -> None:
    edit(copy)
    assert same(read(copy), read(run_of(original)))
    assert len(open_run(copy).done()[0]) == 8


def run_of(folder: Path) -> Path:
    """The only run folder in `runs` of a folder."""
    [run] = (folder / "runs").iterdir()
    return run


def test_what_was_edited_in_the_sweep_file_is_named(copy: Path) -> None:
    RUN_EDITS["max tokens"][1](copy)
    with pytest.raises(BadInput, match=r"protocol\.max_tokens changed since"):
        open_run(copy).provenance()


def test_an_edited_sweep_file_of_a_run_is_written_again_once_it_is_removed(original: Path, copy: Path) -> None:
    RUN_EDITS["max tokens"][1](copy)
    with pytest.raises(BadInput, match=r"changed since the run was made.*protocol.*remove the file"):
        measure(original, copy.parent)
    (copy / "sweep.yaml").unlink()
    measure(original, copy.parent)
    assert len(open_run(copy).done()[0]) == 8


def test_samples_without_their_provenance_are_not_given_another(original: Path, copy: Path) -> None:
    (copy / "provenance.json").unlink()
    with pytest.raises(BadInput, match=r"provenance\.json: missing"):
        measure(original, copy.parent)
    assert not (copy / "provenance.json").exists()


def test_the_checksums_are_those_that_sha256sum_finds(copy: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == sorted(
        ["provenance.json: OK", *(f"samples/{unit.id}.parquet: OK" for unit in open_run(copy).plan.units)]
    )


def test_the_checksums_hold_what_a_report_writes_too(original: Path, copy: Path) -> None:
    conclude(open_run(copy))
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0
    assert {"summary.json: OK", "thresholds.json: OK"} < {*done.stdout.splitlines()}


def test_an_edited_summary_is_not_read(copy: Path) -> None:
    conclude(open_run(copy))
    in_json("summary.json", ["threshold", "value"], lambda value: value / 2)(copy)
    with pytest.raises(BadInput, match=r"summary\.json: changed.*remove it"):
        open_run(copy).summary()


def test_a_gate_refuses_a_contract_that_was_edited_in_its_run_folder_and_takes_it_elsewhere(
    copy: Path, tmp_path: Path
) -> None:
    conclude(open_run(copy))
    terms = copy / "thresholds.json"
    asked = ["gate", "TERMS", "--score", "0.5", "--questions", "8"]
    in_json("thresholds.json", ["expires"], lambda _: "2999-01-01T00:00:00Z")(copy)
    assert refused(*[terms if word == "TERMS" else word for word in asked]).startswith(f"{terms}: changed")
    elsewhere = shutil.copy(terms, tmp_path)
    assert outcome(*[elsewhere if word == "TERMS" else word for word in asked]).exit_code in (0, 5)


@pytest.mark.parametrize("words", [("report",), ("compare", "OTHER"), ("gate", "CONTRACT", "--run"), ("track",)])
def test_a_command_that_reads_refuses_an_edited_unit_and_leaves_it_where_it_is(
    original: Path, copy: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    other = shutil.copytree(copy, tmp_path / "other")
    conclude(open_run(other))
    in_text("sweep.yaml", "^  uri:.*$", f"  uri: sqlite:///{tmp_path / 'mlflow.db'}")(copy)
    UNIT_EDITS["all right"](copy)
    edited = files(copy / "samples")
    places = {"OTHER": other, "CONTRACT": other / "thresholds.json"}
    told = refused(*[places.get(word, word) for word in words], copy)
    assert FIRST in told
    assert "`sweep launch`" in told
    assert files(copy / "samples") == edited
    assert not (copy / "summary.json").exists()


def test_a_list_shows_the_fault_of_an_edited_run_and_the_other_runs(copy: Path) -> None:
    shutil.copytree(copy, copy.parent / "other")
    UNIT_EDITS["a row too few"](copy)
    done = outcome("list", "--runs", copy.parent, "--json")
    assert done.exit_code == ExitCode.OK
    edited, other = sorted(json.loads(done.stdout), key=lambda row: "fault" not in row)
    assert FIRST in edited["fault"]
    assert (other["measured"], other["units"]) == (8, 8)


def test_a_bit_that_flips_anywhere_is_never_read_as_other_data(tmp_path: Path) -> None:
    counted = Counter(result for _, result in flips(made(tmp_path), 200, seed=7))
    assert counted["refused"] > 150
    assert set(counted) == {"refused", "as before"}


def test_without_checksums_the_pages_of_a_unit_s_file_hold_what_is_in_them(copy: Path) -> None:
    (copy / "SHA256SUMS").unlink()
    file, first = parquet(copy), unit(copy, FIRST)
    content, run = file.read_bytes(), open_run(copy)
    group = pq.ParquetFile(file).metadata.row_group(0)
    [chunk] = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "completion_tokens"]
    # The page compresses the only value that the rows have, 8, to one of it.
    place = content.index((8).to_bytes(8, "little"), chunk.data_page_offset)
    assert place < chunk.data_page_offset + chunk.total_compressed_size
    for bit in range(4):
        file.write_bytes(content[:place] + bytes([8 ^ 1 << bit]) + content[place + 1 :])
        with pytest.raises(BadInput, match="CRC"):
            run.load(first)


def outcome(*words: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


def refused(*words: object) -> str:
    """What the fault says of a command that ends for bad input, and has shown nothing."""
    done = outcome(*words)
    assert isinstance(done.exception, BadInput)
    assert done.stdout == ""
    return done.exception.message


def test_a_launch_writes_the_checksums_of_an_older_run_and_says_so_once(copy: Path) -> None:
    before = (copy / "SHA256SUMS").read_bytes()
    (copy / "SHA256SUMS").unlink()
    assert len(open_run(copy).done()[1]) == 1
    assert open_run(copy).done()[1] == []
    assert (copy / "SHA256SUMS").read_bytes() == before


def test_a_task_that_scores_by_columns_of_the_data_set_needs_the_checksums(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gsm8k, "score", lambda task, record, output: record.row["choices"])
    assert open_run(copy).variant_samples()
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(BadInput, match=r"`choices`.*SHA256SUMS"):
        open_run(copy).variant_samples()


def test_lines_that_other_programs_add_are_kept(copy: Path) -> None:
    one, other = open_run(copy).checksums, open_run(copy).checksums
    for checksums, name in ((one, "a"), (other, "b"), (one, "c"), (other, "d")):
        checksums.add(name, "0" * 64)
    torn = copy / "SHA256SUMS"
    torn.write_text(torn.read_text() + "0123")
    one.add("e", "0" * 64)
    assert {"a", "b", "c", "d", "e"} < set(one.digests or ()) == set(other.digests or ())


def test_a_digest_is_on_the_disk_before_its_file(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, again = open_run(copy), unit(copy, FIRST)
    samples = samples_of(run, again)
    parquet(copy).unlink()
    run.checksums.file.write_text("")

    def dies(aside: Path, file: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        run.save(again, samples)
    assert run.checksums.file.read_text().endswith(f"  samples/{FIRST}.parquet\n")
    assert not parquet(copy).exists()


def test_a_file_that_is_put_aside_takes_the_place_of_no_other(copy: Path) -> None:
    for content in (b"first", b"second"):
        parquet(copy).write_bytes(content)
        open_run(copy).done()
    kept = {file.name: file.read_bytes() for file in copy.glob("samples/*corrupt*")}
    assert kept == {f"{FIRST}.corrupt": b"first", f"{FIRST}.2.corrupt": b"second"}


def test_every_fault_is_told_at_once(copy: Path) -> None:
    for name in ("baseline-r02-s1of2", "mtp-r01-s2of2"):
        rows(lambda listed: listed.pop(), name)(copy)
    with pytest.raises(BadInput, match=r"(?s)baseline-r02-s1of2.*mtp-r01-s2of2.*`sweep launch`"):
        open_run(copy).variant_samples()


def test_a_run_folder_whose_path_looks_like_columns_is_read(copy: Path) -> None:
    named = copy.parent / "variant=other" / "seed=9"
    named.parent.mkdir()
    copy.rename(named)
    assert list(open_run(named).variant_samples()) == ["baseline", "mtp"]
