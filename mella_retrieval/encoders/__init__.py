"""Frozen towers: what they are called, what they promise, how texts are prepared for them, how they are loaded."""
