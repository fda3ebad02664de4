"""Composing: several records folders become one, mixed by weights, balanced by language, split without leakage."""
