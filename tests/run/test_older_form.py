"""A run folder made before tasks had names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.run.folder import open_run
from tests.runs import finished


def test_a_run_whose_answers_are_numbers_is_refused_in_one_line_and_left_as_it_is(tmp_path: Path) -> None:
    folder = finished(tmp_path, {"baseline": 4, "mtp": 4}).folder
    file = folder / "sweep.yaml"
    older, replaced = re.subn(r"\n  task: gsm8k\n", "\n  prompt: completion\n", file.read_text())
    assert replaced == 1
    file.write_text(older)
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(BadInput) as caught:
        open_run(folder)
    assert caught.value.exit_code == 2
    assert len(caught.value.message.splitlines()) == 1
    assert str(folder) in caught.value.message
    assert "version" in caught.value.message
    assert sorted(path.name for path in folder.rglob("*")) == before
