"""The methods, by name."""

from __future__ import annotations

from mella_retrieval.adapters.method import Method
from mella_retrieval.adapters.methods.procrustes import Procrustes
from mella_retrieval.adapters.methods.ridge import Ridge
from mella_retrieval.adapters.methods.uclip import UClip

METHODS: dict[str, Method] = {method.name: method for method in (Ridge(), Procrustes(), UClip())}
