"""Data cards: what a records folder holds, for people (README.md) and for programs (Croissant)."""
