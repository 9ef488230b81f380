"""Sweep files of libraries' benchmarks, from the command to the report, with engines that are real but for Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree

import pytest

from cluster.models import resolve
from sweep.plan.sweepfile import load
from sweep.report.conclude import conclude
from sweep.run.folder import Run, open_run
from sweep.stats.samples import Sample
from sweep.tasks import dataset
from sweep.tasks.dataset import EMBEDDED
from sweep.tasks.questionnaire import Questionnaire
from tests.fake_pool import ActorPool
from tests.processes import sweep
from tests.runs import samples_of
from tests.tasks.library_runs import lm_eval_run, sgl_eval_run

SERVE = "transformers serve {model} --host 127.0.0.1 --port {port} --device cpu --dtype float32"
SIMULATED = "{backend: simulated, model: none, arguments: {accuracy: 0.5, noise: 0.4}}"
TEMPLATE = "{{ bos_token }}{% for message in messages %}Question: {{ message.content }}\nAnswer:{% endfor %}"
"""As the tiny model was trained; its folder has no template of a chat."""


def served(model: str | Path) -> str:
    """The engine of a sweep file that starts a server of the model."""
    return (
        f"{{backend: server, model: '{model}', arguments: {{command: '{SERVE}'}}, "
        "environment: {HF_HUB_OFFLINE: '1'}, start_deadline: 180}"
    )


def swept(folder: Path, engine: str, protocol: str, repetitions: int = 1) -> Run:
    """`sweep launch` of a sweep file, and `sweep report` of what it leaves."""
    file = folder / "sweep.yaml"
    file.write_text(
        f"name: s\nengine: {engine}\nvariants: {{base: {{}}}}\nprotocol: {protocol}\n"
        f"repetitions: {repetitions}\ntracking: {{uri: null}}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActorPool, "dashboard", None, raising=False)
        patch.setattr("cluster.pool.RayPool", lambda spec, tell: ActorPool("engine-1"))
        done = sweep("launch", file, "--runs", folder / "runs")
    # 7: too few repetitions for a threshold.
    assert done.returncode in (0, 7), done.stderr
    (run,) = (folder / "runs").iterdir()
    again = sweep("report", run)
    assert again.returncode in (0, 7), again.stderr
    return open_run(run)


def asked_and_told(run: Run) -> tuple[Questionnaire, list[Sample]]:
    """What was asked, and the samples of the first repetition in the order of the questions."""
    questionnaire = dataset.load(run.plan.config.protocol)
    told = {sample.question_id: sample for sample in samples_of(run, run.plan.units[0])}
    return questionnaire, [told[question] for question in questionnaire.question_ids]


def by_sgl_eval(name: str, asked: Questionnaire, told: Sequence[Sample]) -> list[tuple[str | None, float]]:
    """The answers and scores of sgl-eval's own runner for the outputs in samples."""
    problems = [(q.question, q.gold, str(s.text)) for q, s in zip(asked.questions, told, strict=True)]
    return [(answer, score) for _, answer, score in sgl_eval_run(name, problems)]


@pytest.mark.parametrize(("file", "library"), [("lm-eval.yaml", "lm_eval"), ("aime.yaml", "sgl_eval")])
def test_the_sweep_files_of_libraries_benchmarks_have_no_faults(file: str, library: str) -> None:
    pytest.importorskip(library)
    config = load(Path(__file__).parents[2] / "configs" / file, (), dataset.sweep_faults)
    assert len(dataset.load(config.protocol).questions) == {"lm_eval": 48, "sgl_eval": 30}[library]


def test_an_aime_of_sgl_eval_s_wheel_is_swept_with_the_simulated_engine(tmp_path: Path) -> None:
    pytest.importorskip("sgl_eval")
    run = swept(tmp_path, SIMULATED, "{task: 'sgl_eval:aime25', shots: 0, questions: 20, concurrency: 4}", 2)
    summary = conclude(run)
    assert (summary.protocol.task, summary.protocol.questions, summary.protocol.stop) == ("sgl_eval:aime25", 20, ())
    questionnaire, told = asked_and_told(run)
    theirs = by_sgl_eval("aime25", questionnaire, told)
    assert [(sample.extracted, float(sample.correct)) for sample in told] == theirs
    assert {score for _, score in theirs} == {0.0, 1.0}
    assert summary.variants["base"].accuracy.per_repetition[0] == pytest.approx(sum(s for _, s in theirs) / 20)


def test_an_aime_is_asked_of_a_real_server_and_scored_as_sgl_eval_scores_it(tmp_path: Path) -> None:
    pytest.importorskip("sgl_eval")
    pytest.importorskip("torch")
    protocol = "{task: 'sgl_eval:aime24', shots: 0, questions: 2, max_tokens: 12, concurrency: 1}"
    copytree(resolve("embedded:tiny-gemma4"), tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_text(TEMPLATE)
    questionnaire, told = asked_and_told(swept(tmp_path, served(tmp_path / "model"), protocol))
    theirs = by_sgl_eval("aime24", questionnaire, told)
    assert [(sample.extracted, float(sample.correct)) for sample in told] == theirs
    assert all(sample.completion_tokens for sample in told)


def test_lm_eval_s_gsm8k_on_local_records_is_asked_of_a_real_server_and_scored_as_lm_eval_scores_it(
    tmp_path: Path,
) -> None:
    pytest.importorskip("lm_eval")
    pytest.importorskip("torch")
    problems = EMBEDDED["embedded:tiny-gemma4"].read_text().splitlines(keepends=True)
    (tmp_path / "test.jsonl").write_text("".join(problems[:4]))
    (tmp_path / "train.jsonl").write_text("".join(problems[4:10]))
    protocol = (
        "{task: 'lm_eval:gsm8k:exact_match,flexible-extract', dataset: {path: test.jsonl, "
        "train_path: train.jsonl}, shots: 2, shots_from: library, questions: all, max_tokens: 120, concurrency: 1}"
    )
    run = swept(tmp_path, served("embedded:tiny-gemma4"), protocol)
    questionnaire, told = asked_and_told(run)
    outputs = {str(request.prompt): str(s.text) for request, s in zip(questionnaire._requests, told, strict=True)}
    theirs = lm_eval_run("gsm8k", tmp_path, 2, outputs.__getitem__)
    assert [(sample.extracted or "[invalid]", float(sample.correct)) for sample in told] == [
        (sample["filtered_resps"][0], sample["exact_match"])
        for sample in theirs
        if sample["filter"] == "flexible-extract"
    ]
    # The tiny model was trained on problems like these.
    assert any(sample.correct for sample in told)
    assert conclude(run).protocol.stop == ("Question:", "</s>", "<|im_end|>")
