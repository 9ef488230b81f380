"""The tokenizer: byte-level BPE trained on the problems until every word is one token; digits stay single."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAD, EOS, BOS = "<pad>", "<eos>", "<bos>"
SPECIAL = (PAD, EOS, BOS)
"""Their ids are 0, 1 and 2, as in Gemma's own vocabulary."""
VOCABULARY = 1024
"""Rows of the embedding; about half of them are used."""
SEPARATOR = "\n\n"
"""Between two problems of a prompt."""
_LIMITLESS = 1000000000000000019884624838656
"""transformers' mark for "no limit"."""


def train(texts: Iterable[str]) -> Any:
    """A `tokenizers.Tokenizer` of at most VOCABULARY tokens that puts BOS first and knows every byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair="$A $B:1", special_tokens=[(BOS, SPECIAL.index(BOS))]
    )
    return tokenizer


def save(tokenizer: Any, folder: Path) -> None:
    """Write what `AutoTokenizer.from_pretrained` reads: tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "backend": "tokenizers",
        "bos_token": BOS,
        "eos_token": EOS,
        "model_max_length": _LIMITLESS,
        "pad_token": PAD,
        "tokenizer_class": "TokenizersBackend",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
