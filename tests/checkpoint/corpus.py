"""The training problems as one stream of token ids, made by several processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.checkpoint.problems import training_problems
from tests.checkpoint.tokenizer import SEPARATOR

CHUNK = 10_000
"""Problems that one task makes. Part of the seed: the stream does not depend on the number of processes."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Problems one after the other, with the separator of prompts between them."""

    ids: npt.NDArray[np.uint16]
    """(tokens,): no special tokens."""
    starts: npt.NDArray[np.int64]
    """(problems,): where each problem begins in `ids`."""

    def usable_starts(self, window: int) -> npt.NDArray[np.int64]:
        """The starts behind which `window` tokens lie. Raises ValueError when there are none."""
        usable = self.starts[self.starts + window <= len(self.ids)]
        if not len(usable):
            raise ValueError(f"{len(self.ids)} tokens are fewer than one window of {window}; make more problems")
        return usable


def build(tokenizer_json: str, seed: int, problems: int, processes: int) -> Corpus:
    """`problems` training problems, tokenised by `processes` processes."""
    sizes = [min(CHUNK, problems - begin) for begin in range(0, problems, CHUNK)]
    tasks = [(tokenizer_json, f"{seed}:train:{index}", size) for index, size in enumerate(sizes)]
    if processes == 1 or len(tasks) == 1:
        chunks = [_chunk(task) for task in tasks]
    else:
        # Spawned, since a fork of a process with torch's threads may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context) as pool:
            chunks = list(pool.map(_chunk, tasks))
    lengths = np.concatenate([lengths for _, lengths in chunks])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    return Corpus(ids=np.concatenate([ids for ids, _ in chunks]), starts=starts)


def _chunk(task: tuple[str, str, int]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """The ids of one task's problems, and the length of each with its separator."""
    from tokenizers import Tokenizer

    tokenizer_json, seed, count = task
    tokenizer: Any = Tokenizer.from_str(tokenizer_json)
    # Prompts are tokenised whole: there the separator stands between two problems, never at a text's end.
    between = tokenizer.encode(f"1{SEPARATOR}Q", add_special_tokens=False).ids[1:-1]
    encoded = [
        tokenizer.encode(problem.text, add_special_tokens=False).ids + between
        for problem in training_problems(seed, count)
    ]
    lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
    return np.fromiter((i for ids in encoded for i in ids), dtype=np.uint16, count=int(lengths.sum())), lengths
