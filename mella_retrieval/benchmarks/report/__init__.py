"""The report of a result: one HTML file that needs nothing else, and its plots as SVG and PNG files."""

from mella_retrieval.benchmarks.report.sheet import Example, Examples, Hit, LanguageSheet, TextExample, TextHit
from mella_retrieval.benchmarks.report.writing import PLOTS, REPORT, write_report

__all__ = ["PLOTS", "REPORT", "Example", "Examples", "Hit", "LanguageSheet", "TextExample", "TextHit", "write_report"]
