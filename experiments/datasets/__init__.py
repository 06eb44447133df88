"""Prompts and references from other people's files: the paper's eight sets, and any JSONL."""
