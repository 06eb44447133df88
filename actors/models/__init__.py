"""Language models hosted for many sequences at once (transformers, a slot cache, one forward)."""
