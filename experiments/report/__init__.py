"""Shows a run: one offline HTML file with its figures inlined, and the figures as SVG beside it."""

from experiments.report.html import write_report

__all__ = ["write_report"]
