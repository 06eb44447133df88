"""The pair's tokenizer: byte-level BPE of about 4.5 k tokens in which a word is one token.

Byte-level fallback makes any text encodable.  The GPT-2 pattern splits before every space, so
``" word"`` is one token wherever the word stands; texts therefore follow their prompt after one
space.  ``<bos>`` is added in front of every prompt; ``<eos>`` ends a text.

``OTHER`` is a second tokenizer, for a small model whose vocabulary is not the large one's: it stops
at 2,048 tokens, so that most names, places and things are two or three of them, and its special
tokens are called and numbered otherwise.  Trained on the same texts it is nearly nested in the
first: 2,045 of its tokens are tokens of both, and what differs is how a text is cut.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from experiments.pair.corpus import Corpus

BOS: Final = "<bos>"
EOS: Final = "<eos>"
PAD: Final = "<pad>"
ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What tells the corpus's tokenizers apart.

    Args:
        vocabulary: tokens at most, special ones included.
        pad: the token that fills a batch.
        bos: the token in front of every prompt.
        eos: the token that ends a text.
        special: the three in the order of their ids, 0 to 2.
    """

    vocabulary: int
    pad: str
    bos: str
    eos: str
    special: tuple[str, str, str]


SHIPPED: Final = Recipe(4480, PAD, BOS, EOS, (PAD, BOS, EOS))
"""That of the shipped pair: merging ends at 4,456 tokens, when every word is one."""

OTHER: Final = Recipe(2048, "<fill>", "<s>", "</s>", ("</s>", "<fill>", "<s>"))
"""That of the small model whose vocabulary is not the large one's."""

RECIPES: Final = {"shipped": SHIPPED, "other": OTHER}


def build(rows: int = ROWS, recipe: Recipe = SHIPPED) -> PreTrainedTokenizerFast:
    """Train a tokenizer on ``rows`` training rows (profile, request and text)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _texts(rows),
        trainers.BpeTrainer(
            vocab_size=recipe.vocabulary,
            special_tokens=list(recipe.special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{recipe.bos} $A",
        special_tokens=[(recipe.bos, tokenizer.token_to_id(recipe.bos))],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # transformers leaves it so
        tokenizer_object=tokenizer,
        bos_token=recipe.bos,
        eos_token=recipe.eos,
        pad_token=recipe.pad,
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
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="shipped")
    arguments = parser.parse_args()
    tokenizer = build(recipe=RECIPES[arguments.recipe])
    for folder in arguments.folders:
        tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
