"""Evaluation: tasks, protocols, ranking, statistics, results, comparison and the report."""
