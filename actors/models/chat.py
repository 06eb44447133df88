"""Prompts as token ids: as they stand, or wrapped in a model's chat template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from actors.models.hub import one_line
from actors.models.tokenizer import load_tokenizer
from costeer.errors import ConfigError

FIXED_DATE = "26 Jul 2024"
"""The day that Llama's templates name by default; said here, because later ones name today's,
which would make a run's prompts depend on when it is run."""


@dataclass(frozen=True, slots=True)
class Chat:
    """How a prompt is wrapped.

    Args:
        system: the system prompt; the template's own if None, none if empty.
        thinking: Qwen3's switch; templates without one ignore it.
        date: the day that a template may name.
    """

    system: str | None = None
    thinking: bool = False
    date: str = FIXED_DATE


def prompt_encoder(path: str | Path, chat: Chat | None) -> Callable[[str], tuple[int, ...]]:
    """Return what makes token ids of a prompt.

    Args:
        path: the model whose tokenizer and template are used.
        chat: how prompts are wrapped; as they stand if None.

    Raises:
        ConfigError: the tokenizer is missing; or, with a chat, it has no template, or one that
            does not take what is asked of it.
    """
    tokenizer = load_tokenizer(path)
    if chat is None:
        return lambda text: tuple(tokenizer.encode(text))
    if not tokenizer.chat_template:
        raise ConfigError(
            f"model {path}: its tokenizer has no chat template; leave out models.chat, or give an"
            " instruction-tuned model"
        )
    settings = chat
    first = [] if chat.system is None else [{"role": "system", "content": chat.system}]
    refused = "models.chat.system" if first else "models.chat, or mend the template"

    def encode(text: str) -> tuple[int, ...]:
        try:
            wrapped = tokenizer.apply_chat_template(
                [*first, {"role": "user", "content": text}],
                add_generation_prompt=True,
                tokenize=False,
                enable_thinking=settings.thinking,
                date_string=settings.date,
            )
        except TemplateError as error:
            raise ConfigError(
                f"model {path}: its chat template refuses the prompt: {one_line(error)};"
                f" leave out {refused}"
            ) from error
        # The template has written the special tokens already.
        return tuple(tokenizer.encode(str(wrapped), add_special_tokens=False))

    return encode
