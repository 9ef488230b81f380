"""A training's learning rate and end, by a budget of seconds; the clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WARM_UP = 0.02
"""Share of the budget over which the rate rises."""
FLOOR = 0.02
"""The rate at the end, as a share of the peak."""
STEP_LIMIT = 10**9


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a training may take. The first of both ends it, and the rate falls towards that one."""

    seconds: float
    """Wall clock."""
    steps: int = STEP_LIMIT
    """Optimizer steps."""

    def used(self, elapsed: float, step: int) -> float:
        """The share that is used up, 0 to 1."""
        return min(1.0, max(elapsed / self.seconds, step / self.steps))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training did."""

    steps: int
    """Optimizer steps."""
    seconds: float
    """Wall clock."""
    tokens: int
    """Tokens seen."""
    first_loss: float
    """Mean cross-entropy of the first step, in nats."""
    last_loss: float
    """The same over the last steps, up to 50."""
    accuracy: tuple[float, ...] = ()
    """For the assistant: top-1 share at each draft step, over the last steps."""


def rate(used: float, peak: float) -> float:
    """Linear warm-up to `peak`, then a cosine down to FLOOR of it; `used` is the budget's used share."""
    if used < WARM_UP:
        return peak * (used / WARM_UP * (1 - FLOOR) + FLOOR)
    fall = (used - WARM_UP) / (1 - WARM_UP)
    return peak * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(1.0, fall))) / 2)


Step = Callable[[], tuple[Any, tuple[Any, ...]]]
"""One forward and backward pass over a batch: the loss, and shares to report, as tensors without a graph."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What `fit` needs beside the step."""

    name: str
    """For the progress lines."""
    budget: Budget
    """When it ends."""
    tokens_per_step: int
    """For the speed."""
    peak: float
    """The highest learning rate."""
    clock: Callable[[], float]
    """Seconds, as time.monotonic."""
    say: Callable[[str], None]
    """Where progress lines go."""


def fit(loop: Loop, optimizer: Any, parameters: list[Any], step: Step) -> Trained:
    """Train until the budget is used up, and at least one step. Progress is said every 50 steps."""
    import torch

    begun, done, elapsed = loop.clock(), 0, 0.0
    losses: list[Any] = []
    shares: list[tuple[Any, ...]] = []
    while not done or loop.budget.used(elapsed, done) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(loop.budget.used(elapsed, done), loop.peak)
        loss, share = step()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        done += 1
        losses.append(loss)
        shares = [*shares[-49:], share]
        if done % 10 == 1:
            losses[-1] = loss.item()  # waits for the device, so that the clock below is right
        elapsed = loop.clock() - begun
        if done % 50 == 1:
            speed = done * loop.tokens_per_step / max(elapsed, 1e-9)
            left = max(0.0, loop.budget.seconds - elapsed)
            loop.say(
                f"{loop.name}: step {done}, loss {float(losses[-1]):.3f}, {speed:,.0f} tok/s, {left:.0f} s left"
            )
    last = [float(value) for value in losses[-50:]]
    trained = Trained(
        steps=done,
        seconds=loop.clock() - begun,
        tokens=done * loop.tokens_per_step,
        first_loss=float(losses[0]),
        last_loss=sum(last) / len(last),
        accuracy=tuple(sum(map(float, column)) / len(column) for column in zip(*shares, strict=True)),
    )
    loop.say(f"{loop.name}: {trained.steps} steps in {trained.seconds:.0f} s, loss {trained.last_loss:.3f}")
    return trained
