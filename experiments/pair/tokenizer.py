"""The pair's tokenizer: byte-level BPE of about 4.5 k tokens in which a word is one token.

Byte-level fallback makes any text encodable.  The GPT-2 pattern splits before every space, so
``" word"`` is one token wherever the word stands; texts therefore follow their prompt after one
space.  ``<bos>`` is added in front of every prompt; ``<eos>`` ends a text.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from experiments.pair.corpus import Corpus

BOS: Final = "<bos>"
EOS: Final = "<eos>"
PAD: Final = "<pad>"
VOCABULARY: Final = 4480
ROWS: Final = 20_000


def build(rows: int = ROWS) -> PreTrainedTokenizerFast:
    """Train the tokenizer on ``rows`` training rows (profile, request and text)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _texts(rows),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[PAD, BOS, EOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # transformers leaves it so
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def _texts(rows: int) -> Iterator[str]:
    corpus = Corpus()
    for index in range(rows):
        row = corpus.row("train", index)
        yield f"{row.personalized_input} {row.output}"
    for index in range(rows // 4):
        prompt, text = corpus.card(index)
        yield f"{prompt} {text}"


def main() -> None:
    """Command line: build the tokenizer and save it into one or more folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    tokenizer = build()
    for folder in parser.parse_args().folders:
        tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
