"""Hostile input to every command: `python -m tests.fuzz --count 5000 --seed 7`.

case.py     one input: arguments, files and stdin; how it is kept in the corpus, and how it is run and judged
seeds.py    good input of every kind, from which the mutator begins
mutate.py   the mutator: broken text and bytes, other kinds of file
values.py   the values, keys and options that it puts in
corpus/     what once failed; it is tried again each time

A failure is kept in the corpus, and is to be mended.
"""
