"""Tokens a second of a repetition: in the sweep, in a bare sglang.Engine script, by run_eval and by sgl-eval.

    python -m tests.benchmarks.sglang_throughput --variant topk1 --rounds 5 --out result.json
    python -m tests.benchmarks.sglang_throughput --second shards       # two GPUs

All serve the tiny checkpoint with the same arguments on one GPU, side by side with a small share of its memory
each; a round runs the same questions through one after the other, from a cold prefix cache, in an order that
rotates. Ratios are taken within a round. With a draft, the accept lengths of the sweep's and the bare engine's
requests stand beside. `--second deterministic` adds an engine of the sweep in deterministic mode, on the same GPU;
`--second shards` one on another GPU, and a contender that hands each of the two half of the questions.

run_eval is SGLang's own evaluation. sgl-eval takes part where it is installed: it sends chats, which a template
turns into the same prompts. Idle schedulers of SGLang keep a core busy each, so it wants a machine with eight or
more. `--cpu` runs in the environment of tests/sglang_cpu/install.sh.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from cluster.connection import PoolSpec
from cluster.engines.sglang.arguments import engine_arguments, to_argv
from cluster.events import Completed, Event, Failed, Gone, Loaded
from cluster.pool import RayPool
from cluster.spec import Batch, EngineSpec, Request
from sweep.tasks.dataset import EMBEDDED

E = TypeVar("E", bound=Event)
PORT = 30123
START_SECONDS = 900.0
DATA = ("embedded:tiny-gemma4", "embedded:tiny-gemma4-hard")
CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""Of which a chat of one message becomes the prompt of a completion."""
STOP = ("Question", "Assistant:", "<|separator|>")
GPU = {
    "attention_backend": "triton",
    "sampling_backend": "pytorch",
    "dtype": "bfloat16",
    "max_running_requests": 16,
    "context_length": 2048,
    "max_total_tokens": 32768,
    "mem_fraction_static": 0.15,
    "cuda_graph_max_bs_decode": 16,
    "skip_server_warmup": True,
    # Those that wait for their turn take no processor from the one that runs.
    "sleep_on_idle": True,
}
CPU = {
    "device": "cpu",
    "attention_backend": "triton",
    "dtype": "float32",
    "max_running_requests": 8,
    "context_length": 2048,
    "max_total_tokens": 16384,
    "mem_fraction_static": 0.1,
    "disable_cuda_graph": True,
    "skip_server_warmup": True,
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "baseline": {},
    "topk1": {"speculative_eagle_topk": 1, "speculative_num_draft_tokens": 6},
    "topk3": {"speculative_eagle_topk": 3, "speculative_num_draft_tokens": 12},
}
CHAIN = {"speculative_algorithm": "NEXTN", "speculative_num_steps": 5}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """The questions, run once."""

    tokens: int
    """Generated."""
    seconds: float
    """Wall clock."""
    verify_steps: int | None = None
    """Of all requests; None without a draft, and where the contender does not say."""

    def to_json(self) -> dict[str, float | None]:
        """With the rate in tokens a second, and the accept length."""
        accept = self.tokens / self.verify_steps if self.verify_steps else None
        rate = self.tokens / self.seconds
        return {"tokens": self.tokens, "seconds": self.seconds, "rate": rate, "accept_length": accept}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to run the questions."""

    name: str
    start_seconds: Mapping[str, float]
    run: Callable[[], Ran]
    """Runs them all once, from a cold prefix cache."""


def make_spec(options: argparse.Namespace) -> EngineSpec:
    draft = VARIANTS[options.variant]
    running = {
        "max_running_requests": options.running,
        "cuda_graph_max_bs_decode": options.running,
        "max_total_tokens": options.running * 1024,
    }
    shared = 1.0 if options.second == "shards" else 0.3
    return EngineSpec(
        label=options.variant,
        backend="sglang",
        model="embedded:tiny-gemma4",
        draft_model="embedded:tiny-gemma4-assistant" if draft else None,
        gpus=0.0 if options.cpu else shared,
        arguments={**(CPU if options.cpu else {**GPU, **running}), **({**CHAIN, **draft} if draft else {})},
        start_deadline=START_SECONDS,
    )


def write_data(folder: Path) -> Path:
    """The checkpoint's easy and hard questions, in one file."""
    data = folder / "questions.jsonl"
    data.write_text("".join(EMBEDDED[name].read_text() for name in DATA))
    return data


def make_batch(options: argparse.Namespace, data: Path) -> Batch:
    """As SGLang's evaluation asks: shots from the head of the data, the questions after them."""
    records = [json.loads(line) for line in data.read_text().splitlines()]
    shots = "".join(f"Question: {r['question']}\nAnswer: {r['answer']}\n\n" for r in records[: options.shots])
    asked = records[options.shots : options.shots + options.questions]
    requests = tuple(
        Request(id=str(n), prompt=f"{shots}Question: {r['question']}\nAnswer:") for n, r in enumerate(asked)
    )
    return Batch(
        requests=requests,
        concurrency=options.concurrency,
        max_tokens=options.max_tokens,
        temperature=0.0,
        stop=STOP,
        seed=0,
    )


def in_the_sweep(spec: EngineSpec, second: str | None, batch: Batch, stack: ExitStack) -> list[Contender]:
    """Through the pool, as the driver runs a unit: seconds include Ray's transfers and the cache's flush."""
    specs = [spec]
    if second == "deterministic":
        deterministic = {**spec.arguments, "enable_deterministic_inference": True}
        specs.append(replace(spec, label=second, arguments=deterministic))
    elif second == "shards":
        specs.append(replace(spec, label=second))
    pool_spec = PoolSpec(
        engines=len(specs),
        gpus=spec.gpus,
        needs_real_gpus=spec.gpus > 0,
        address=None,
        deadline=60.0,
        sweep="throughput",
    )
    pool = RayPool(pool_spec, print)
    stack.callback(pool.close)
    starts = []
    for engine, loaded in zip(pool.engines, specs, strict=True):
        while engine in pool.absent:
            pool.wait(1.0)
        pool.load(engine, loaded)
        starts.append(awaited(pool, Loaded).facts.start_seconds)

    def run(engines: Sequence[str]) -> Ran:
        began = time.perf_counter()
        for number, engine in enumerate(engines):
            part = replace(batch, requests=batch.requests[number :: len(engines)])
            pool.run(engine, f"shard-{number}", part, START_SECONDS)
        completions = [c for _ in engines for c in awaited(pool, Completed).completions]
        return Ran(
            tokens=sum(c.completion_tokens for c in completions),
            seconds=time.perf_counter() - began,
            verify_steps=sum(c.verify_steps or 0 for c in completions),
        )

    first, *others = pool.engines
    found = [Contender(name="sweep", start_seconds=starts[0], run=lambda: run([first]))]
    if second == "deterministic":
        found.append(Contender(name=second, start_seconds=starts[1], run=lambda: run(others)))
    elif second == "shards":
        found.append(Contender(name=second, start_seconds=starts[1], run=lambda: run(pool.engines)))
    return found


def awaited(pool: RayPool, kind: type[E]) -> E:
    """The next event of this kind, which no failure may come before."""
    while True:
        for event in pool.wait(1.0):
            if isinstance(event, kind):
                return event
            if isinstance(event, Failed | Gone):
                raise SystemExit(f"the sweep's engine failed: {event}")


def in_a_bare_script(spec: EngineSpec, batch: Batch, folder: Path, stack: ExitStack) -> Contender:
    """The shortest script there is: every prompt handed to Engine.generate at once."""
    sampling = {"temperature": 0.0, "max_new_tokens": batch.max_tokens, "stop": list(batch.stop)}
    prompts = [request.prompt for request in batch.requests]
    work = folder / "bare.json"
    work.write_text(json.dumps({"arguments": engine_arguments(spec), "prompts": prompts, "sampling": sampling}))
    log = stack.enter_context((folder / "bare.log").open("w"))
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bare_engine.py")), str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    stack.callback(process.wait, 60)
    assert process.stdin is not None
    stack.callback(process.stdin.close)

    def answer() -> list[float]:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("BARE"):
                return [float(word) for word in line.split()[1:]]
        raise SystemExit(f"the bare engine ended; see {folder / 'bare.log'}")

    def run() -> Ran:
        assert process.stdin is not None
        process.stdin.write("again\n")
        process.stdin.flush()
        tokens, seconds, steps = answer()
        return Ran(tokens=int(tokens), seconds=seconds, verify_steps=int(steps))

    return Contender(name="bare engine", start_seconds={"total": answer()[0]}, run=run)


def by_clients_of_a_server(
    spec: EngineSpec, options: argparse.Namespace, data: Path, batch: Batch, stack: ExitStack
) -> list[Contender]:
    """A launched server, asked as SGLang's CI asks it, by sglang.test.run_eval, and by sgl-eval's runner."""
    template = data.with_name("chat.jinja")
    template.write_text(CHAT_TEMPLATE)
    log = stack.enter_context(data.with_name("server.log").open("w"))
    began = time.perf_counter()
    command = [sys.executable, *to_argv(spec)[1:], "--port", str(PORT), "--chat-template", str(template)]
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    stack.callback(server.wait, 60)
    stack.callback(server.terminate)
    await_health(server, data.with_name("server.log"))
    started = {"total": time.perf_counter() - began}
    os.environ.setdefault("OPENAI_API_KEY", "EMPTY")  # run_eval's client wants one, and run_eval sets the same
    found = [Contender(name="run_eval", start_seconds=started, run=run_eval(options, data))]
    if importlib.util.find_spec("sgl_eval"):
        found.append(Contender(name="sgl-eval", start_seconds=started, run=sgl_eval(batch)))
    return found


def run_eval(options: argparse.Namespace, data: Path) -> Callable[[], Ran]:
    from sglang.test.run_eval import run_eval_once
    from sglang.test.simple_eval_mixed_prefix_gsm8k import GSM8KEval

    evaluation = GSM8KEval(
        num_examples=options.questions,
        num_threads=options.concurrency,
        num_shots=options.shots,
        data_path=str(data),
    )
    settings = SimpleNamespace(api="completion", max_tokens=options.max_tokens, temperature=0.0, model=None)

    def run() -> Ran:
        post("/flush_cache")
        _, seconds, sampler = run_eval_once(settings, f"http://127.0.0.1:{PORT}/v1", evaluation)
        return Ran(tokens=sum(sampler._completion_tokens), seconds=seconds)

    return run


def sgl_eval(batch: Batch) -> Callable[[], Ran]:
    from sgl_eval.runner import run_examples
    from sgl_eval.sampler import ChatCompletionSampler
    from sgl_eval.types import Example, GenConfig, Sample

    sampler = ChatCompletionSampler(f"http://127.0.0.1:{PORT}/v1")
    stop = {"stop": list(batch.stop)}
    settings = GenConfig(temperature=0.0, top_p=1.0, max_tokens=batch.max_tokens, extra_body=stop)
    examples = [Example(id=r.id, inputs={"prompt": r.prompt}, target=None) for r in batch.requests]

    def ask(example: Example, repeat: int) -> Sample:
        return sampler([sampler.pack_message("user", example.inputs["prompt"])], settings)

    def run() -> Ran:
        post("/flush_cache")
        result = run_examples(
            "throughput", examples, ask, lambda _, sample: (0.0, None), batch.concurrency, progress=False
        )
        return Ran(tokens=result.total_completion_tokens, seconds=result.latency)

    return run


def await_health(server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(1.0)
        else:
            return
    raise SystemExit(f"the server did not come up; see {log}")


def post(path: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", method="POST")
    urllib.request.urlopen(request, timeout=60).close()


Rounds = list[dict[str, dict[str, Any]]]
"""`Ran.to_json` by contender, a dictionary a round."""


def measure(contenders: list[Contender], rounds: int) -> Rounds:
    """Run the rounds; a first one to warm up is not kept."""
    kept = []
    for number in range(rounds + 1):
        shift = number % len(contenders)
        result = {}
        for contender in contenders[shift:] + contenders[:shift]:
            result[contender.name] = contender.run().to_json()
        kept.append(result)
        rates = ", ".join(f"{name} {row['rate']:.0f} tok/s" for name, row in sorted(result.items()))
        print(f"round {number}{' (warm-up)' if number == 0 else ''}: {rates}", flush=True)
    return kept[1:]


def summarise(rounds: Rounds) -> dict[str, Any]:
    """Medians; and the sweep's rate over each other's, paired within rounds: median, least and most."""
    names = sorted(rounds[0])
    rates = {name: statistics.median(r[name]["rate"] for r in rounds) for name in names}
    ratios = {}
    for name in names:
        if name != "sweep":
            paired = [r["sweep"]["rate"] / r[name]["rate"] for r in rounds]
            ratios[name] = {"median": statistics.median(paired), "min": min(paired), "max": max(paired)}
    accept = {
        name: statistics.median(r[name]["accept_length"] for r in rounds)
        for name in names
        if rounds[0][name]["accept_length"] is not None
    }
    return {"tokens_per_second": rates, "sweep_over": ratios, "accept_length": accept}


def show(summary: Mapping[str, Any], contenders: list[Contender]) -> None:
    print(f"\n{'':14}{'tok/s':>9}{'sweep / it':>24}{'start s':>9}")
    for contender in contenders:
        ratio = summary["sweep_over"].get(contender.name)
        shown = f"{ratio['median']:.3f} ({ratio['min']:.3f}-{ratio['max']:.3f})" if ratio else "-"
        rate = summary["tokens_per_second"][contender.name]
        print(f"{contender.name:14}{rate:9.0f}{shown:>24}{contender.start_seconds['total']:9.1f}")
    if summary["accept_length"]:
        print("accept length: " + ", ".join(f"{name} {a:.3f}" for name, a in summary["accept_length"].items()))
    start = next(c.start_seconds for c in contenders if c.name == "sweep")
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in start.items())
    print(f"the sweep's start by phase, in seconds: {phases}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="baseline")
    parser.add_argument("--second", choices=["deterministic", "shards"], help="another engine of the sweep")
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--running", type=int, default=64, help="requests in one batch of the engine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("sglang-throughput.json"))
    return parser.parse_args()


def main() -> None:
    options = parse()
    folder = options.out.resolve().parent / f"{options.out.stem}-logs"
    folder.mkdir(parents=True, exist_ok=True)
    data = write_data(folder)
    spec, batch = make_spec(options), make_batch(options, data)
    with ExitStack() as stack:
        # One after another: an engine takes what is free as the whole GPU.
        contenders = [
            *by_clients_of_a_server(spec, options, data, batch, stack),
            in_a_bare_script(spec, batch, folder, stack),
            *in_the_sweep(spec, options.second, batch, stack),
        ]
        rounds = measure(contenders, options.rounds)
    summary = summarise(rounds)
    show(summary, contenders)
    record = {
        "options": {key: str(value) for key, value in vars(options).items()},
        "host": platform.node(),
        "arguments": engine_arguments(spec),
        "start_seconds": {c.name: dict(c.start_seconds) for c in contenders},
        "rounds": rounds,
        **summary,
    }
    options.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
