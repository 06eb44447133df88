from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tokenizers.pre_tokenizers import WhitespaceSplit

from actors.models.chat import Chat, prompt_encoder
from actors.models.tokenizer import load_tokenizer
from costeer.errors import ConfigError
from tests.actors.tiny_pair import tiny_folder, tiny_tokenizer

TEMPLATE = (
    "{%- for m in messages %}{% if m.role == 'system' and 'w9' in m.content %}"
    "{{ raise_exception('no w9 here') }}{% endif %}"
    "<s> {{ m.content }} {% endfor %}"
    "{{ date_string }}{% if enable_thinking %} w40{% else %} w41{% endif %}"
    "{% if add_generation_prompt %} w42{% endif %}"
)


def folder_with(template: str | None, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder("qwen2"), folder)
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def words(folder: Path, ids: tuple[int, ...]) -> str:
    return str(load_tokenizer(folder).decode(list(ids)))


def test_prompts_stand_as_they_are_without_a_chat(tmp_path: Path) -> None:
    assert prompt_encoder(folder_with(TEMPLATE, tmp_path), None)("w5 w6") == (5, 6)


def test_a_chat_wraps_system_thinking_and_date(tmp_path: Path) -> None:
    folder = folder_with(TEMPLATE, tmp_path)
    plain = prompt_encoder(folder, Chat(date="w30"))
    assert words(folder, plain("w5 w6")) == "<s> w5 w6 w30 w41 w42"
    full = prompt_encoder(folder, Chat(system="w7", thinking=True, date="w31"))
    assert words(folder, full("w5")) == "<s> w7 <s> w5 w31 w40 w42"


def test_a_tokenizer_without_a_template_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no chat template; leave out models\.chat"):
        prompt_encoder(tiny_folder("qwen2"), Chat())


def test_what_a_template_refuses_is_told(tmp_path: Path) -> None:
    encode = prompt_encoder(folder_with(TEMPLATE, tmp_path), Chat(system="w9"))
    with pytest.raises(ConfigError, match=r"refuses the prompt: no w9 here; leave out .*system"):
        encode("w5")
    broken = prompt_encoder(folder_with("{% for m in messages %}", tmp_path / "broken"), Chat())
    with pytest.raises(ConfigError, match=r"leave out models\.chat, or mend the template"):
        broken("w5")
