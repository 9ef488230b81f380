"""Makes the shipped checkpoint again: `python -m tests.checkpoint OUT`.

problems.py    word problems in GSM8K's record format, drawn from a seed
tokenizer.py   the byte-level BPE over them, digits one by one
corpus.py      problems as one stream of token ids, made by several processes
schedule.py    the learning rate and the end of a training, by a budget of seconds
target.py      the Gemma4 language model: its config and its training
assistant.py   its MTP draft: config and training against the frozen target
evaluate.py    greedy accuracy and accept length, with plain transformers
recipe.py      what decides a checkpoint, and what happened
provenance.py  PROVENANCE.md, from what happened
run.py         the whole of it, step by step
"""
