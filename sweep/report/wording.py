"""What a threshold implies, in sentences: for reports, contracts and the terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweep.stats.noise import differs_at_most

if TYPE_CHECKING:
    from sweep.gate.identity import Change
    from sweep.gate.threshold import VariantThreshold
    from sweep.run.others import Against

FACTORS = "question order, concurrency, shards, engine, build"
"""What can be perturbed to see a variance where repetitions are identical."""


def share(value: float) -> str:
    """A probability for people: `0.94 %`, `13.9 %`; `<0.01 %` and `>99.9 %` where digits would mislead."""
    if 0 < value < 1e-4:
        return "<0.01 %"
    if 0.9995 <= value < 1:
        return ">99.9 %"
    return f"{value * 100:.2g} %" if value < 0.1 else f"{value * 100:.3g} %"


DIGITS = 4
"""Of a threshold."""
ALL_WRONG = "every score is 0: the engine, the prompt or the answer extraction does not work"


def number(value: float | None, digits: int) -> str:
    """The value, or `-` where it was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage, or `-`; a share short of 1 is never rounded up to 100 %."""
    if value is None:
        return "-"
    return f"{min(value * 100, 99.9) if value < 1 else 100.0:.1f} %"


def floored(threshold: float) -> float:
    """A threshold of 4 digits that passes every score that it passes itself: rounded down, never up.

    0.33 as floating point has it may be 0.32999999999999996; that is no reason for 0.3299.
    """
    scale = 10.0**DIGITS
    return math.floor(threshold * scale + 1e-6) / scale


def cut(threshold: float) -> str:
    """The same for people: `0.3555`, `0.330`."""
    text = f"{floored(threshold):.{DIGITS}f}"
    return text.removesuffix("0")


def unseen(n: int) -> str:
    """Why n repetitions that are one, or identical, give no variance; and what to do."""
    if n == 1:
        return "one repetition shows no run-to-run spread; run at least 2, better 20"
    return (
        f"{n} identical repetitions are no estimate of a variance: the chance that the next run of the same "
        f"build differs is at most {share(differs_at_most(n))} (95 % confidence), and other builds may "
        f"differ more; measure perturbed variants ({FACTORS})"
    )


def statements(v: VariantThreshold) -> Iterator[str]:
    """What one variant's threshold implies, a sentence or two each, without its name."""
    if v.value is None:
        yield f"no threshold: {v.reason}."
    elif v.noise_source is None:
        yield f"{unseen(v.n)}."
    if v.factors:
        parts = ", ".join(f"{f.factor} {f.variance**0.5:.4f} ({f.levels} levels)" for f in v.factors)
        use = "used" if v.noise_source == "perturbations" else "not used: the repetitions differ themselves"
        yield f"std by perturbed factor, {use}: {parts}."
    if v.false_alarm is not None and v.false_alarm_interval is not None:
        yield from _alarms(v)
    if v.value is not None and v.noise_source is not None:
        attempts = f" in all {v.retries} attempts" if v.retries > 1 else ""
        yield f"at {cut(v.value)} {_caught(v.mde80, v.mde95, attempts)}."
        if v.retries > 1:
            yield f"in one attempt {_caught(v.mde80_single, v.mde95_single, '')}."


def _caught(mde80: float | None, mde95: float | None, attempts: str) -> str:
    """The drops that are caught; None where not even a drop to 0 is."""
    if mde80 is None:
        return f"not even a drop to 0 is caught{attempts} with 80 % power"
    with95 = f"of {mde95:.3f} with 95 %" if mde95 is not None else "none with 95 %"
    return f"a drop of {mde80:.3f} is caught{attempts} with 80 % power, {with95}"


def _alarms(v: VariantThreshold) -> Iterator[str]:
    assert v.value is not None
    assert v.false_alarm is not None
    assert v.false_alarm_interval is not None
    low, high = v.false_alarm_interval
    how = f"all {v.retries} attempts" if v.retries > 1 else "the gate"
    yield (
        f"a healthy build fails {how} at {cut(v.value)} with probability {share(v.false_alarm)} "
        f"({share(low)} to {share(high)})."
    )
    if v.retries > 1 and v.false_alarm_single is not None:
        yield (
            f"that takes attempts as independent; if they share what moves a run, it is up to "
            f"{share(v.false_alarm_single)}, the probability of failing one."
        )


def against_line(against: Against) -> str:
    """The run that drift is judged against, and what else is another there."""
    elsewhere = f", where other things differ: {'; '.join(map(str, against.differs))}" if against.differs else ""
    return f"Drift is against `{against.sweep_id}`{elsewhere}."


def build_line(run: str, differs: Sequence[Change]) -> str:
    """What is another in the run of another build."""
    return f"build = {run}: {'; '.join(map(str, differs)) or 'no version, driver or GPU is known to differ there'}."
