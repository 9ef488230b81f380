"""What marks stand for goes in where it is used, and comes out of nothing that is told."""

from __future__ import annotations

import pickle
import traceback

import pytest

import cluster.actor
from cluster.actor import EngineActor
from cluster.errors import EngineStartFailed
from cluster.secrets import Secrets
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Report, Request

SECRETS = Secrets(values={"(secret api_key)": "pass word/1", "${DIR}": "/models/mine", "(secret pin)": 4321})


class Talkative:
    """An engine that tells its arguments wherever it can."""

    def __init__(self, *, fails: bool = False) -> None:
        self.spec: EngineSpec | None = None
        self._fails = fails

    def start(self, spec: EngineSpec, report: Report) -> None:
        self.spec = spec
        report(f"loading {spec.model}", (f"server_args={dict(spec.arguments)!r}", f"env {spec.environment}"))
        if self._fails:
            try:
                raise ValueError(f"bad key {spec.arguments['api_key']}")
            except ValueError as error:
                raise EngineStartFailed(f"with {spec.arguments}", (str(spec.environment),)) from error

    def generate(self, batch: Batch) -> list[Completion]:
        assert self.spec is not None
        raise RuntimeError(f"no answer with {self.spec.arguments}")

    def flush(self) -> None: ...

    def describe(self) -> EngineFacts:
        assert self.spec is not None
        return EngineFacts(
            backend="simulated",
            versions={},
            device=Device(host="here", log=f"{self.spec.model}/log"),
            fingerprint_of="text",
            start_seconds={},
            arguments=dict(self.spec.arguments),
        )

    def stop(self) -> None: ...


SPEC = EngineSpec(
    label="v",
    backend="simulated",
    model="${DIR}/gemma",
    arguments={"api_key": "(secret api_key)", "nested": {"list": ["x-${DIR}", "$${DIR}"]}, "pin": "(secret pin)"},
    environment={"PIN": "(secret pin)", "PLAIN": "yes"},
    secrets=SECRETS,
)
BATCH = Batch(
    requests=(Request(id="q", prompt="?"),), concurrency=1, max_tokens=1, temperature=0.0, stop=(), seed=0
)


def clean(told: object) -> bool:
    return not any(value in repr(told) for value in ("pass word/1", "/models/mine", "4321"))


def test_an_engine_starts_with_the_values_and_tells_the_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, heard = Talkative(), []
    monkeypatch.setattr(cluster.actor, "make_engine", lambda name: engine)
    actor = EngineActor("engine-1")
    facts = actor.load(SPEC, lambda phase, log: heard.append((phase, log)))
    assert engine.spec is not None
    assert engine.spec.model == "/models/mine/gemma"
    assert engine.spec.arguments == {
        "api_key": "pass word/1",
        "nested": {"list": ["x-/models/mine", "${DIR}"]},
        "pin": 4321,
    }
    # The environment has texts only.
    assert engine.spec.environment == {"PIN": "4321", "PLAIN": "yes"}
    assert heard[0][0] == "loading ${DIR}/gemma"
    assert clean((facts, heard))
    assert facts.arguments["api_key"] == "(secret api_key)"
    with pytest.raises(RuntimeError) as failure:
        actor.run(BATCH)
    assert clean("".join(traceback.format_exception(failure.value)))


def test_an_engine_that_does_not_start_tells_no_secret_in_its_error_or_the_ones_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster.actor, "make_engine", lambda name: Talkative(fails=True))
    with pytest.raises(EngineStartFailed) as failure:
        EngineActor("engine-1").load(SPEC, lambda phase, log: None)
    assert "(secret api_key)" in failure.value.message
    assert clean((failure.value.message, failure.value.log_tail))
    assert clean("".join(traceback.format_exception(failure.value)))


def test_a_spec_and_its_secrets_say_nothing_when_they_are_printed_and_survive_pickling() -> None:
    assert clean((SPEC, SECRETS, str(SECRETS)))
    assert pickle.loads(pickle.dumps(SPEC)).revealed() == SPEC.revealed()


@pytest.mark.parametrize("form", ["pass word/1", "pass%20word%2F1", "pass+word%2F1", "'pass word/1'"])
def test_a_secret_is_found_in_every_form_that_uris_and_logs_give_it(form: str) -> None:
    assert "(secret api_key)" in SECRETS.hide(f"at {form}, end")
    assert "word" not in SECRETS.hide(f"at {form}, end")


def test_a_secret_of_several_lines_is_found_line_by_line() -> None:
    secrets = Secrets(values={"(secret key)": "-----BEGIN KEY-----\nMIIEvQ+x\n-----END KEY-----"})
    assert secrets.hide("log: MIIEvQ+x") == "log: (secret key)"


def test_a_short_secret_is_hidden_as_a_word_and_in_no_other_word() -> None:
    secrets = Secrets(values={"(secret pw)": "abc"})
    assert secrets.hide("abc, abcde, pw=abc") == "(secret pw), abcde, pw=(secret pw)"


def test_an_unknown_mark_stays() -> None:
    assert Secrets().reveal("${NOWHERE} (secret x)") == "${NOWHERE} (secret x)"
