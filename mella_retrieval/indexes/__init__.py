"""FAISS indexes with string ids and record columns: immutable segments, tombstones and one pointer file."""
