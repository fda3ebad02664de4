"""Making `ling`: pictures described by a model, the descriptions translated by another, both checked."""
