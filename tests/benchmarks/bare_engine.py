"""The shortest script that serves prompts with SGLang: what the throughput benchmark holds the sweep against.

python bare_engine.py WORK.json     then one round for each line on stdin
"""

import json
import sys
import time
from pathlib import Path

import sglang

if __name__ == "__main__":
    work = json.loads(Path(sys.argv[1]).read_text())
    began = time.perf_counter()
    engine = sglang.Engine(**work["arguments"])
    print("BARE", time.perf_counter() - began, flush=True)
    for _ in sys.stdin:
        engine.flush_cache()
        began = time.perf_counter()
        outputs = engine.generate(work["prompts"], work["sampling"])
        seconds = time.perf_counter() - began
        meta = [o["meta_info"] for o in outputs]
        steps = sum(m.get("spec_verify_ct", 0) for m in meta)
        print("BARE", sum(m["completion_tokens"] for m in meta), seconds, steps, flush=True)
    engine.shutdown()
