"""What takes time says so."""

from __future__ import annotations

from threading import Event

import pytest

from sweep import out


def test_what_takes_time_is_said_and_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    twice = Event()

    def note(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            twice.set()

    monkeypatch.setattr(out, "note", note)
    monkeypatch.setattr(out, "QUIET", 0.0)
    monkeypatch.setattr(out, "AGAIN", 0.0)
    with out.busy("reading"):
        assert twice.wait(60)
    assert all(text.startswith("reading ...") for text in said)


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(out, "QUIET", 60.0)
    with out.busy("reading"):
        pass
    assert capfd.readouterr() == ("", "")


def test_it_stops_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "QUIET", 60.0)
    with pytest.raises(ValueError, match="bad"), out.busy("reading"):
        raise ValueError("bad")
