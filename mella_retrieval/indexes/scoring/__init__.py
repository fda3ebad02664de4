"""Training-free re-scoring: hubness corrections from a bank of reference queries, and folding them into vectors."""
