"""The simulated engine: its accuracy and noise are what its arguments say, and it is honest about itself."""

from __future__ import annotations

import math
import time
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy.stats import binom, norm

from cluster.engines.simulated import SimulatedEngine, check_specs
from cluster.errors import EngineStartFailed
from cluster.spec import Batch, Completion, EngineSpec, Message, Request
from sweep.tasks.gsm8k import extract_answer

QUESTIONS = 400


NUMBERS = {f"q{n}": f"so #### {n}" for n in range(QUESTIONS)}


def generate(
    seed: int = 0, label: str = "v", draft: bool = False, answers: dict[str, str] = NUMBERS, **arguments: object
) -> list[Completion]:
    engine = SimulatedEngine()
    spec = EngineSpec(
        label=label,
        backend="simulated",
        model="none",
        draft_model="none" if draft else None,
        arguments={"start_seconds": 0, "seconds_per_token": 0, **arguments},
        answers=answers,
    )
    engine.start(spec, lambda phase, log: None)
    requests = tuple(Request(id=f"q{n}", prompt="p") for n in range(QUESTIONS))
    return engine.generate(
        Batch(requests=requests, concurrency=8, max_tokens=500, temperature=0.0, stop=("Question",), seed=seed)
    )


def score(completions: list[Completion]) -> float:
    return fmean(extract_answer(c.text) == int(c.request_id[1:]) for c in completions)


def test_the_accuracy_is_the_one_asked_for() -> None:
    right = round(score(generate(accuracy=0.4)) * QUESTIONS)
    # Each question is right with 0.4 over questions and runs; a two-sided tail of 1e-4 on either side.
    assert binom.ppf(1e-4, QUESTIONS, 0.4) <= right <= binom.isf(1e-4, QUESTIONS, 0.4)


def test_a_wrong_answer_without_a_number_is_that_of_another_question() -> None:
    answers = {f"q{n}": f"The answer is {'ABC'[n % 3]}." for n in range(QUESTIONS)}
    texts = {c.request_id: c.text[-len("The answer is A.") :] for c in generate(accuracy=0.4, answers=answers)}
    assert set(texts.values()) == set(answers.values())
    right = sum(texts[name] == answer for name, answer in answers.items())
    assert binom.ppf(1e-4, QUESTIONS, 0.4) <= right <= binom.isf(1e-4, QUESTIONS, 0.4)


def test_independent_noise_gives_the_run_to_run_std_of_its_formula() -> None:
    spread, noise = 1.0, 0.5
    scores = [score(generate(seed=s, accuracy=0.5, question_spread=spread, noise=noise)) for s in range(60)]
    # p_q = Phi(spread z / noise): E[p (1-p)] by quadrature over z, then sqrt(E / n).
    grid = [norm.ppf((i + 0.5) / 2000) for i in range(2000)]
    mean_variance = fmean(norm.cdf(spread * z / noise) * norm.sf(spread * z / noise) for z in grid)
    expected = math.sqrt(mean_variance / QUESTIONS)
    # The std of 60 runs has a relative error of 1 / sqrt(2 x 59) = 9 %; four of those.
    assert stdev(scores) == pytest.approx(expected, rel=0.37)


def test_a_common_cause_moves_whole_runs() -> None:
    calm = [score(generate(seed=s, noise=0.3)) for s in range(20)]
    moved = [score(generate(seed=s, noise=0.3, common_cause=0.5)) for s in range(20)]
    assert stdev(moved) > 3 * stdev(calm)


def test_a_deterministic_variant_repeats_itself_and_a_noisy_one_does_not() -> None:
    fixed = [[c.text for c in generate(seed=s, deterministic=True)] for s in (1, 2)]
    noisy = [[c.text for c in generate(seed=s)] for s in (1, 2)]
    assert fixed[0] == fixed[1]
    assert noisy[0] != noisy[1]


def test_the_same_seed_gives_the_same_outputs_and_variants_share_the_hard_questions() -> None:
    assert [c.text for c in generate(seed=3)] == [c.text for c in generate(seed=3)]
    quiet: dict[str, Any] = {"noise": 0.0, "accuracy": 0.5}
    assert [c.text for c in generate(label="a", **quiet)] == [c.text for c in generate(label="b", **quiet)]


def test_only_a_draft_has_verification_steps_at_the_accept_length_asked_for() -> None:
    assert all(c.verify_steps is None for c in generate())
    drafted = generate(draft=True, accept_length=2.5)
    assert sum(c.completion_tokens for c in drafted) / sum(c.verify_steps or 0 for c in drafted) == pytest.approx(
        2.5, rel=0.02
    )


def test_without_answers_it_does_not_start() -> None:
    spec = EngineSpec(label="v", backend="simulated", model="none", arguments={"start_seconds": 0})
    with pytest.raises(EngineStartFailed, match="no answers"):
        SimulatedEngine().start(spec, lambda phase, log: None)


def test_messages_are_answered_like_a_text() -> None:
    engine = SimulatedEngine()
    spec = EngineSpec(
        label="v",
        backend="simulated",
        model="none",
        arguments={"start_seconds": 0, "seconds_per_token": 0},
        answers={"q": "so #### 7"},
    )
    engine.start(spec, lambda phase, log: None)
    chat = (Message(role="system", content="Be brief."), Message(role="user", content="3 + 4?"))
    text, turns = (
        engine.generate(
            Batch(
                requests=(Request(id="q", prompt=prompt),),
                concurrency=1,
                max_tokens=500,
                temperature=0.0,
                stop=(),
                seed=0,
            )
        )
        for prompt in ("Be brief. 3 + 4?", chat)
    )
    assert [c.text for c in text] == [c.text for c in turns]


def test_a_wrong_type_and_an_unknown_argument_are_both_named() -> None:
    spec = EngineSpec(label="v", backend="simulated", model="none", arguments={"accuracy": "high", "nose": 0.1})
    (wrong,) = check_specs([spec])
    assert [key for key, _ in wrong] == ["accuracy", "nose"]
    assert "did you mean noise?" in wrong[1][1]


def test_the_requests_seconds_are_what_the_batch_took_by_the_wall_clock() -> None:
    begun = time.perf_counter()
    completions = generate(seconds_per_token=1e-6)
    took = time.perf_counter() - begun
    tokens = sum(c.completion_tokens for c in completions)
    assert tokens * 1e-6 <= sum(c.seconds for c in completions) <= took
