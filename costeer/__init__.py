"""What is decided and what the bytes say: pure functions and state machines without I/O.

One token of ``costeer``: the device sends TOKEN and runs its small model on both branches; the
cloud batches one forward, selects and packs logits, sends LOGITS; the device steers them with
Δ, certifies, chooses. Read ``edge`` for the device's half, ``cloud`` for the other, ``messages``
for the frames between them, ``steering`` for the arithmetic.
"""
