"""The shipped pair: corpus, tokenizer, training and the trained models."""
