"""Evaluation: text metrics, paired bootstrap, and the tables of the shipped pair."""
