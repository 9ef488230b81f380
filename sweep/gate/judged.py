"""All that one gate says: the verdicts, what was not measured, or why there are none. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sweep.errors import ExitCode, SweepError
from sweep.gate.judge import Verdict, answer
from sweep.words import Outcome, joined


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a gate ends in."""

    contract: str
    """The contract's path, as it was given."""
    at: datetime
    """When it was judged."""
    verdicts: tuple[Verdict, ...] = ()
    """One per variant that was judged."""
    missing: tuple[str, ...] = ()
    """Variants of the contract that the run has not measured."""
    fault: SweepError | None = None
    """Why nothing was judged; None where something was."""

    @property
    def exit_code(self) -> ExitCode:
        """A score that is below outranks a contract that cannot judge another one."""
        if self.fault is not None:
            return self.fault.exit_code
        codes = {v.exit_code for v in self.verdicts} | ({ExitCode.NOT_APPLICABLE} if self.missing else set())
        return ExitCode.BELOW if ExitCode.BELOW in codes else max(codes)

    @property
    def answer(self) -> str:
        """In one line."""
        if self.fault is not None:
            return joined([(Outcome.CANNOT_TELL, f"nothing was judged ({self.fault.message})")])
        return answer(self.verdicts, self.missing)

    @property
    def decided_by(self) -> Verdict | None:
        """The first verdict that ends in the exit code; None without any."""
        return next((v for v in self.verdicts if v.exit_code is self.exit_code), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "answer": self.answer,
            "exit_code": self.exit_code,
            "verdicts": [v.to_json() for v in self.verdicts],
            "not_measured": list(self.missing),
        }
