"""How much of anything is taken. Each bound is checked before what it bounds is expanded, and messages name it."""

SWEEP_FILE = 500_000
"""Characters of a sweep file, its aliases written out: those in use have some thousands, and reading this many
takes seconds."""
DEEPEST = 50
"""Levels of a sweep file: it has seven, and the arguments of engines a few more."""
LONGEST_TEXT = 20_000
"""Characters of one value, key or `--set`: longer than any template of a chat."""
MOST_FAULTS = 100
"""Of a sweep file that are listed; the others are counted."""
MOST_VARIANTS = 1_000
"""Of a sweep, perturbed ones included: each starts an engine, which takes a minute or more."""
MOST_SCORED = 200
"""Variants in a file of scores: the thresholds of each take some 40 ms."""
MOST_UNITS = 100_000
"""Of a sweep: each is a file in its run folder, and at half a minute each these take one engine five weeks."""
LONGEST_NAME = 200
"""Characters of a name: file systems take 255 bytes, and a unit's file adds its repetition, shard and ending."""
LONGEST_TIME = 1e9
"""Seconds, some thirty years: the longest time that can be written, so that a date can be made of it."""
MOST_SEED = 2**53
"""What a number in JSON holds exactly."""
MOST_COUNT = 10**9
"""Of anything that is counted, such as questions: far above what is in use, and exact in floating point."""
MOST_ATTEMPTS = 100
"""Attempts that CI gives a build: one that needs more is never found bad."""
SCORE_FILE = 10_000_000
"""Bytes of a file of scores: more than a million of them."""
CONTRACT_FILE = 10_000_000
"""Bytes of a contract: with 1,000 variants it has two million."""
STATE_FILE = 1_000_000
"""Bytes of the state of a gate's attempts: each takes some twenty."""
UNIT_FILE = 1_000_000_000
"""Bytes of a unit's file in a run folder: it has a few thousand for each question."""
DATA_FILE = 200_000_000
"""Bytes of a local data set, and of its records in memory: benchmarks of text have some millions."""
RECORD = 200
"""Bytes that a record takes in memory though it be empty."""
