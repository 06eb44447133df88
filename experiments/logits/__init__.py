"""What real logits are like: recorded from any pair, measured, and made again by the generator."""
