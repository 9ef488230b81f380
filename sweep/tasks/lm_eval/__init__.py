"""The tasks of lm-eval whose outputs are texts (`generate_until`): its prompts, filters and metrics.

`lm_eval:gsm8k` is scored by the task's first metric of right and wrong, or of values where it has none of those,
after its first filter; `lm_eval:gsm8k:exact_match,flexible-extract` names both, as lm-eval's results do.
https://pypi.org/project/lm-eval
"""
