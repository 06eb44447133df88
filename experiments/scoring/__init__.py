"""Scores of a run's texts: metrics of words, of models, and of judges, with intervals."""
