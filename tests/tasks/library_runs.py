"""The libraries' own runners, over outputs that are given: what they ask, read and hold right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def sgl_eval_run(name: str, problems: Sequence[tuple[str, str, str]]) -> list[tuple[Any, str | None, float]]:
    """The messages, answer and score of sgl-eval's runner for each (problem, right answer, output)."""
    from sgl_eval import registry
    from sgl_eval.types import Example, Sample

    left, sent = iter(problems), []

    def sampler(messages: Any, gen: Any) -> Sample:
        sent.append(messages)
        return Sample(text=next(left)[2])

    spec = registry.get(name)
    result = spec.run(
        sampler=sampler,
        gen=spec.default_gen,
        n_repeats=1,
        num_examples=None,
        num_threads=1,
        load_examples=lambda count: [
            Example(id=str(number), inputs={"problem": problem}, target=gold)
            for number, (problem, gold, _) in enumerate(problems)
        ],
    )
    judged = [(each.extracted[0], each.scores[0]) for each in result.per_example]
    return [(messages, *each) for messages, each in zip(sent, judged, strict=True)]


def lm_eval_run(task: str, folder: Path, shots: int, answer: Callable[[str], str]) -> list[Mapping[str, Any]]:
    """The samples that lm-eval's own runner logs for the same files, where a model gives `answer` to a prompt."""
    from lm_eval import evaluator, tasks
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    class Scripted(LM):  # type: ignore[misc]
        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return [answer(request.args[0]) for request in requests]

        def loglikelihood(self, requests: Sequence[Any]) -> Any:
            raise NotImplementedError

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> Any:
            raise NotImplementedError

    if task == "coqa":
        pattern = "coqa/default.yaml"
    else:
        folder_of = "gsm8k" if task.startswith("gsm8k") else "gpqa"
        pattern = f"{folder_of}/**/{task.replace('gsm8k_', 'gsm8k-')}.yaml"
    (file,) = Path(tasks.__file__).parent.glob(pattern)
    test, train = str(folder / "test.jsonl"), str(folder / "train.jsonl")
    files = {"test": test, "validation": test, "train": train}
    data = {"dataset_path": "json", "dataset_name": None}
    kwargs = {"data_files": files, "cache_dir": str(folder / "cache")}
    config = {**load_yaml(file), **data, "dataset_kwargs": kwargs, "num_fewshot": shots}
    result = evaluator.simple_evaluate(
        model=Scripted(),
        tasks=[{key: value for key, value in config.items() if key != "tag"}],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    samples: list[Mapping[str, Any]] = result["samples"][task]
    return samples
