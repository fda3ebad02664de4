"""Fixtures of the tests of indexes."""

from gpu_material import machine

__all__ = ["machine"]
