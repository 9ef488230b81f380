"""What may pass: threshold rules, contracts, and the verdict on a score.

Imports nothing heavier than pydantic, numpy and scipy, so that a test of an engine can afford `assert_gate`.
"""

from sweep.gate.assertion import ContractDoesNotApply, assert_gate
from sweep.gate.judge import Verdict, judge
from sweep.gate.measured import Measured

__all__ = ["ContractDoesNotApply", "Measured", "Verdict", "assert_gate", "judge"]
