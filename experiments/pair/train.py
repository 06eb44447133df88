"""Train one model of the shipped pair: ``python -m experiments.pair.train --model slm --out DIR``.

Theory of operation.
- Rows are generated and tokenised while training; row i of the stream is a pure function of the
  corpus seed and i, so a resumed run continues with the rows that it would have had.  The model
  seed shifts the stream and draws the initial weights.
- A step takes three micro-batches of like length: texts without a profile, texts with one, and
  (if the preset says so) fact cards.  Loss on the text part alone, mean over its tokens.
- Warm-up, constant rate, linear decay to zero, by steps.  ``muon`` orthogonalises the updates of
  the matrices (AdamW keeps embeddings, norms and biases); ``adamw`` is AdamW throughout.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from torch.optim import Optimizer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from experiments.machine import processor_name
from experiments.pair import tokenizer as pair_tokenizer
from experiments.pair.corpus import SEED, THINGS, Corpus

POOL_STEPS: Final = 16
LOG_EVERY: Final = 50
CHECKPOINT_EVERY: Final = 100
IGNORED: Final = -100


@dataclass(frozen=True, slots=True)
class Stage:
    """Rows per step from ``first_step`` (a multiple of POOL_STEPS) on."""

    first_step: int
    base_rows: int
    personal_rows: int
    card_rows: int


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes and recipe of one model."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    intermediate_size: int
    optimizer: str
    matrix_rate: float
    other_rate: float
    stages: tuple[Stage, ...]
    steps: int
    warmup_steps: int = 100
    embedding_std: float = 0.1
    decay_share: float = 0.35


PRESETS: Final = {
    "llm": Preset(
        hidden_size=256,
        layers=4,
        heads=4,
        kv_heads=2,
        intermediate_size=1024,
        optimizer="muon",
        matrix_rate=2.5e-3,
        other_rate=1e-3,
        # Facts first; the second stage teaches the copying of a profile, slower to come.
        stages=(Stage(0, 8, 24, 96), Stage(1104, 4, 56, 24)),
        steps=1950,
        embedding_std=0.07,
    ),
    "slm": Preset(
        hidden_size=128,
        layers=3,
        heads=4,
        kv_heads=2,
        intermediate_size=256,
        optimizer="muon",
        matrix_rate=2e-3,
        other_rate=1e-3,
        stages=(Stage(0, 16, 32, 0),),
        steps=1400,
    ),
}

Example = tuple[list[int], list[int]]


def new_model(
    preset: Preset, tokenizer: PreTrainedTokenizerFast, seed: int, device: str
) -> Qwen2ForCausalLM:
    """A Qwen2 model for a tokenizer, with fresh weights drawn from ``seed``.

    Embeddings start at ``embedding_std``, not at transformers' 0.02: with the small value the
    common direction of a word class soon drowns what tells its words apart, and neither copying
    nor facts were learnt (attempts 1 to 3 in the README).
    """
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=preset.hidden_size,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.kv_heads,
        intermediate_size=preset.intermediate_size,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        use_cache=True,
    )
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=preset.embedding_std)
    return model


class Stream:
    """Endless steps of micro-batches; ``step`` says where to begin."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, preset: Preset, seed: int, step: int = 0
    ) -> None:
        self._encode = tokenizer
        self._preset = preset
        self._corpus = Corpus()
        self._offset = seed * 10_000_000
        self._step = step

    def __iter__(self) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
        while True:
            first = self._step - self._step % POOL_STEPS
            kinds = [kind for kind in self._pool(first) if kind]
            for place in range(self._step - first, POOL_STEPS):
                self._step += 1
                yield [_pad(kind[place]) for kind in kinds]

    def _pool(self, first: int) -> list[list[list[Example]]]:
        p = next(stage for stage in reversed(self._preset.stages) if stage.first_step <= first)
        base = self._offset + first * (p.base_rows + p.personal_rows)
        personal = base + POOL_STEPS * p.base_rows
        rows = [self._corpus.row("train", base + i) for i in range(POOL_STEPS * p.base_rows)]
        known = [
            self._corpus.row("train", personal + i) for i in range(POOL_STEPS * p.personal_rows)
        ]
        card = self._offset + first * p.card_rows
        cards = [self._corpus.card(card + i) for i in range(POOL_STEPS * p.card_rows)]
        return [
            self._chunks([(row.input, row.output) for row in rows], first),
            self._chunks([(row.personalized_input, row.output) for row in known], first + 1),
            self._chunks(cards, first + 2),
        ]

    def _chunks(self, pairs: list[tuple[str, str]], key: int) -> list[list[Example]]:
        if not pairs:
            return []
        prompts = self._encode([prompt for prompt, _ in pairs])["input_ids"]
        texts = self._encode([f" {text}" for _, text in pairs], add_special_tokens=False)[
            "input_ids"
        ]
        eos = self._encode.eos_token_id
        examples = [(p, [*t, eos]) for p, t in zip(prompts, texts, strict=True)]
        examples.sort(key=lambda e: len(e[0]) + len(e[1]))
        size = len(examples) // POOL_STEPS
        chunks = [examples[i * size : (i + 1) * size] for i in range(POOL_STEPS)]
        order = torch.randperm(POOL_STEPS, generator=torch.Generator().manual_seed(key))
        return [chunks[i] for i in order.tolist()]


def _pad(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids_BT and next-token labels_BT (IGNORED outside the text part)."""
    width = max(len(prompt) + len(text) for prompt, text in examples)
    ids_BT = torch.zeros((len(examples), width), dtype=torch.long)
    labels_BT = torch.full((len(examples), width), IGNORED, dtype=torch.long)
    for row, (prompt, text) in enumerate(examples):
        whole = torch.tensor([*prompt, *text])
        ids_BT[row, : len(whole)] = whole
        labels_BT[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    return ids_BT, labels_BT


def optimizers(model: Qwen2ForCausalLM, preset: Preset) -> list[Optimizer]:
    """AdamW for everything, or Muon for the matrices and AdamW for the rest."""
    matrices: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim > 1 and "embed" not in name
        (matrices if is_matrix else rest).append(parameter)
    adamw = torch.optim.AdamW(
        [{"params": rest, "lr": preset.other_rate}]
        + ([] if preset.optimizer == "muon" else [{"params": matrices, "lr": preset.matrix_rate}]),
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    if preset.optimizer != "muon":
        return [adamw]
    muon = torch.optim.Muon(
        matrices, lr=preset.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    return [adamw, muon]


def rate_factor(step: int, preset: Preset) -> float:
    """Share of the full learning rate at a step: warm-up, constant, linear decay to zero."""
    decay = preset.decay_share * preset.steps
    return min(1.0, (step + 1) / preset.warmup_steps, (preset.steps - step) / decay)


def train_step(
    model: Qwen2ForCausalLM, batches: list[tuple[torch.Tensor, torch.Tensor]], device: str
) -> tuple[float, int]:
    """Forward and backward of one step; mean loss in nats per text token, and tokens read."""
    tokens = sum(int((labels_BT != IGNORED).sum()) for _, labels_BT in batches)
    total = 0.0
    for ids_BT, labels_BT in batches:
        keep_BT = (labels_BT != IGNORED).to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            hidden = model.model(input_ids=ids_BT.to(device), use_cache=False).last_hidden_state
            logits_NV = model.lm_head(hidden[keep_BT])
        loss = torch.nn.functional.cross_entropy(
            logits_NV.float(), labels_BT.to(device)[keep_BT], reduction="sum"
        )
        torch.autograd.backward(loss / tokens)
        total += loss.item()
    return total / tokens, sum(ids_BT.numel() for ids_BT, _ in batches)


def train(
    preset: Preset,
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    seed: int,
    out: Path,
    checkpoint: Path,
    *,
    resume: bool,
) -> None:
    """Train, save the model, its tokenizer and ``training.json`` into ``out``."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = new_model(preset, tokenizer, seed, device)
    opts = optimizers(model, preset)
    full_rates = [[group["lr"] for group in opt.param_groups] for opt in opts]
    step, wall_s, cpu_s, tokens_read, curve = 0, 0.0, 0.0, 0, []
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for opt, saved in zip(opts, state["optimizers"], strict=True):
            opt.load_state_dict(saved)
        step, wall_s, cpu_s = state["step"], state["wall_s"], state["cpu_s"]
        tokens_read, curve = state["tokens_read"], state["curve"]
    wall_0, cpu_0 = time.monotonic() - wall_s, time.process_time() - cpu_s
    running = 0.0
    for batches in Stream(tokenizer, preset, seed, step):
        if step >= preset.steps:
            break
        for opt, rates in zip(opts, full_rates, strict=True):
            for group, rate in zip(opt.param_groups, rates, strict=True):
                group["lr"] = rate * rate_factor(step, preset)
        loss, read = train_step(model, batches, device)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
        model.zero_grad()
        step, running, tokens_read = step + 1, running + loss / LOG_EVERY, tokens_read + read
        if step % LOG_EVERY == 0:
            wall_s, cpu_s = time.monotonic() - wall_0, time.process_time() - cpu_0
            curve.append([step, round(running, 4)])
            print(
                f"{name} seed {seed} step {step}/{preset.steps} loss {running:.4f} "
                f"{tokens_read / wall_s:.0f} tokens/s {wall_s:.0f} s",
                flush=True,
            )
            running = 0.0
        if step % CHECKPOINT_EVERY == 0 or step == preset.steps:
            _save_checkpoint(checkpoint, model, opts, step, wall_s, cpu_s, tokens_read, curve)
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)
            record = {
                "model": name,
                "seed": seed,
                "corpus": {"seed": SEED, "things": THINGS},
                "vocabulary": len(tokenizer),
                "parameters": sum(p.numel() for p in model.parameters()),
                "preset": asdict(preset),
                "steps": step,
                "complete": step == preset.steps,
                "tokens_read": tokens_read,
                "wall_s": round(wall_s, 1),
                "cpu_s": round(cpu_s, 1),
                "hardware": f"{device}, {torch.get_num_threads()} thread(s), {processor_name()}",
                "torch": torch.__version__,
                "loss_curve": curve,
            }
            (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")


def _save_checkpoint(
    path: Path,
    model: Qwen2ForCausalLM,
    opts: list[Optimizer],
    step: int,
    wall_s: float,
    cpu_s: float,
    tokens_read: int,
    curve: list[list[float]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizers": [opt.state_dict() for opt in opts],
            "step": step,
            "wall_s": wall_s,
            "cpu_s": cpu_s,
            "tokens_read": tokens_read,
            "curve": curve,
        },
        part,
    )
    part.replace(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(PRESETS), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tokenizer", choices=sorted(pair_tokenizer.RECIPES), default="shipped", help="whose ids"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--checkpoint", type=Path, help="default: runs/pair/MODEL-TOKENIZER-SEED.pt"
    )
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    arguments = parser.parse_args()
    preset = PRESETS[arguments.model]
    if arguments.steps is not None:
        preset = Preset(**{**asdict(preset), "steps": arguments.steps})
    checkpoint = arguments.checkpoint or Path(
        "runs", "pair", f"{arguments.model}-{arguments.tokenizer}-{arguments.seed}.pt"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(
        preset,
        pair_tokenizer.build(recipe=pair_tokenizer.RECIPES[arguments.tokenizer]),
        arguments.model,
        arguments.seed,
        arguments.out,
        checkpoint,
        resume=arguments.resume,
    )


if __name__ == "__main__":
    main()
