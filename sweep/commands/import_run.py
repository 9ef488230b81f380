"""`sweep import`: a run folder out of results that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.out import busy, note, say, say_json

if TYPE_CHECKING:
    from sweep.report.summary import Summary
    from sweep.run.folder import Run


@click.command(name="import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option(
    "--variant", "names", multiple=True, metavar="NAME", help="What to call the variant: once, or for each PATH."
)
@click.option("--metric", metavar="NAME", help="What an answer's value is taken from, where a file has several.")
@click.option(
    "--range", "ends", type=float, nargs=2, metavar="LOW HIGH", help="Values of answers; inf where there is no end."
)
@click.option("--lower-is-better/--higher-is-better", "lower", default=None, help="Which values are good.")
@click.option("--name", default="imported", show_default=True, help="What the run's name begins with.")
@click.option(
    "--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Where the run folders are."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout; all else on stderr.")
def command(
    paths: tuple[str, ...],
    names: tuple[str, ...],
    metric: str | None,
    ends: tuple[float, float] | None,
    lower: bool | None,
    name: str,
    runs: Path,
    as_json: bool,
) -> int:
    """Make a run folder out of results of single questions that exist already, so that compare, report, show, gate,
    track and list read them as a sweep's own.

    PATH is a file, or a folder of them: samples of lm-eval, output-rs*.jsonl of sgl-eval, logs of inspect_ai,
    per-sample outputs of NeMo Evaluator, or JSON lines or a table with the columns question and value, and if
    wanted variant, repetition, output, answer and gold. What a file does not say is not known in the run.

    Answers are right or wrong, or worth a number each, such as an F1, a ROUGE or a word error rate. Where the file
    does not say them, --range and --lower-is-better tell the values that there are and which of them are good.

    \b
    Examples:
      sweep import lm_eval_out/model/samples_gsm8k_*.jsonl --metric exact_match,strict-match
      sweep import nightly/plain nightly/mtp --variant plain --variant mtp
      sweep import answers.csv --name gsm8k-by-hand
      sweep import speech.csv --metric wer --range 0 inf --lower-is-better
    """
    from sweep.errors import ExitCode
    from sweep.report.conclude import conclude
    from sweep.run.imported.folder import plan_of, write
    from sweep.run.imported.reading import found, read
    from sweep.run.imported.runs import check_name, tell_apart
    from sweep.run.imported.scale import metric_of
    from sweep.run.lock import hold

    check_name(name, "--name")
    with busy("reading the results"):
        files = [(number, file) for number, path in enumerate(paths) for file in found(path)]
        sources = [read(file, metric) for _, file in files]
        told = tell_apart(sources, [number for number, _ in files], names, note)
        scored = metric_of(sources, ends, None if lower is None else not lower, note)
        plan = plan_of(name, sources, told, scored)
    with hold(runs / plan.sweep_id, "import", note), busy("writing the run folder"):
        run = write(runs, plan, sources, told)
        summary = conclude(run)
    say(told.how, err=as_json)
    _show(summary, run, as_json=as_json)
    return ExitCode.OK


def _show(summary: Summary, run: Run, *, as_json: bool) -> None:
    """What the results come to, as at the end of a launch."""
    from sweep.report.sections import closing
    from sweep.report.terminal import show

    if as_json:
        say_json(summary.to_json())
    else:
        show(closing(summary, [f"run folder     {run.folder}"]))
