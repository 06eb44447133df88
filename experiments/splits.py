"""Names of the shipped corpus's held-out rows; light, as the command line's parser needs them."""

from __future__ import annotations

from typing import Literal, TypeAlias

Split: TypeAlias = Literal["dev", "test", "test_templates"]

SPLITS: dict[str, Split] = {
    "held-out": "dev",
    "dev": "dev",
    "test": "test",
    "test-templates": "test_templates",
}
"""Names in scenarios -> splits of the corpus. `held-out` is the set for looking and choosing, so
that the test rows stay unseen until the end."""
