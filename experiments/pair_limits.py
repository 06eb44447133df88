"""What the two models of a scenario allow: whether they can be there, their tokens and contexts."""

from __future__ import annotations

from costeer.errors import ConfigError
from experiments.scenario import HfModel, ModelsConfig, OpenAiModel


def check_models(models: ModelsConfig) -> None:
    """Check that both models may be there, before anything is loaded.

    Raises:
        ConfigError: one cannot; its key is named.
    """
    from actors.models.hub import check_folder  # noqa: PLC0415 - transformers takes seconds

    for party, model in (("cloud", models.cloud), ("edge", models.edge)):
        if isinstance(model, OpenAiModel):
            continue  # whether a server is there is found out when the host asks it
        try:
            check_folder(model.location)
        except ConfigError as error:
            raise ConfigError(f"models.{party}.path: {error}") from error


def vocab_sizes(models: ModelsConfig) -> tuple[int, int]:
    """Return the sizes of the large model's vocabulary and of the small one's; often they are one.

    Raises:
        ConfigError: different tokenizers and no alignment, or a model that has fewer logits than
            tokens.
    """
    from actors.models.tokenizer import (  # noqa: PLC0415 - transformers takes seconds
        own_vocab_size,
        tokenizer_size,
    )

    if not models.aligned:
        size = vocab_size_of(models)
        return size, size
    if isinstance(models.cloud, HfModel):
        cloud = own_vocab_size(models.cloud.location)
    else:
        cloud = tokenizer_size(models.tokenizer_location)
    return cloud, own_vocab_size(models.edge.location)


def vocab_size_of(models: ModelsConfig) -> int:
    """Return how many tokens two models share.

    Raises:
        ConfigError: different tokenizers, or a model that has fewer logits than tokens.
    """
    from actors.models.tokenizer import (  # noqa: PLC0415 - transformers takes seconds
        check_same_tokenizer,
        shared_vocab_size,
    )

    edge = models.edge.location
    if isinstance(models.cloud, HfModel):
        return shared_vocab_size(models.cloud.location, edge)
    check_same_tokenizer(models.tokenizer_location, edge)
    return shared_vocab_size(edge, edge)


def context_limits(models: ModelsConfig) -> dict[str, int]:
    """Return how many tokens a session may have, by party."""
    from actors.models.architecture import architecture_of  # noqa: PLC0415 - transformers
    from actors.models.loading import load_config  # noqa: PLC0415 - transformers takes seconds

    return {
        party: model.max_context
        if isinstance(model, OpenAiModel)
        else architecture_of(load_config(model.location), model.location).context
        for party, model in (("cloud", models.cloud), ("edge", models.edge))
    }
