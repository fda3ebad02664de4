"""Adapters: the small trained part between frozen towers."""
