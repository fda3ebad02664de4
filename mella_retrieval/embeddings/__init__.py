"""Embedding sets: the vectors of one encoder over one record set, with their ids; and what is computed from stored vectors."""
