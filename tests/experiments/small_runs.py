"""Scenarios that run in a moment, and a random pair with the shipped tokenizer."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from experiments.hosting import open_laboratory
from experiments.outcome import RunOutcome
from experiments.planning import plan_workload
from experiments.progress import NoProgress, Progress
from experiments.run import run_in
from experiments.scenario import Scenario
from experiments.scenario.models import SHIPPED_MODELS

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def scenario(**changes: Any) -> Scenario:
    """Three devices on two links, three methods, generated values with a small vocabulary."""
    given: dict[str, Any] = {
        "name": "small",
        "values": "generated",
        "generated": {"vocab_size": 400, "prompt_tokens": 9, "context_tokens": 11},
        "seed": 1,
        "fleet": {
            "devices": 3,
            "arrivals": {"kind": "closed", "think_s": 0.01, "requests_per_device": 2},
            "classes": [
                {"share": 0.67, "link": "4g-eu", "hardware": "phone-npu"},
                {"share": 0.33, "link": "cable", "hardware": "laptop-cpu"},
            ],
        },
        "arms": [
            {"method": "slm_with"},
            {"method": "llm_without"},
            {"method": "costeer", "codec": "top8-bf16-naive"},
        ],
        "workload": {"max_new_tokens": 4},
    }
    return Scenario.model_validate(given | changes)


def run(
    given: Scenario, out_dir: Path, address: str = "none", progress: Progress | None = None
) -> RunOutcome:
    """Run without a report."""
    workload = plan_workload(given)
    with open_laboratory(given, address) as laboratory:
        return run_in(laboratory, given, workload, out_dir, progress or NoProgress())


def digests(outcome: RunOutcome) -> list[tuple[str, str | None]]:
    return [
        (arm["output_digest"], arm["digest"])
        for arm in outcome.summary["arms"]
        if arm["link_class"] == "all"
    ]


@cache
def random_pair() -> dict[str, Any]:
    """The ``models`` section of two random models that share the shipped tokenizer."""
    import torch
    from tokenizers import Tokenizer
    from transformers import Qwen2Config, Qwen2ForCausalLM

    section: dict[str, Any] = {}
    for party, name, hidden, seed in (("cloud", "llm", 32, 3), ("edge", "slm", 16, 4)):
        folder = Path(mkdtemp(prefix=f"random-{name}-"))
        for file in TOKENIZER_FILES:
            shutil.copy(SHIPPED_MODELS / name / file, folder / file)
        torch.manual_seed(seed)
        config = Qwen2Config(
            vocab_size=Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            tie_word_embeddings=True,
        )
        Qwen2ForCausalLM(config).save_pretrained(folder)
        section[party] = {"kind": "hf", "path": str(folder)}
    return section
