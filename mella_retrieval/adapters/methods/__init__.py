"""The methods, by name."""

from __future__ import annotations

from mella_retrieval.adapters.method import Method
from mella_retrieval.adapters.methods.average import Average
from mella_retrieval.adapters.methods.cca import Cca
from mella_retrieval.adapters.methods.contrastive import Contrastive
from mella_retrieval.adapters.methods.distillation import Distillation
from mella_retrieval.adapters.methods.leccr import Leccr
from mella_retrieval.adapters.methods.m2m import M2m
from mella_retrieval.adapters.methods.procrustes import Procrustes
from mella_retrieval.adapters.methods.ridge import Ridge
from mella_retrieval.adapters.methods.uclip import UClip

METHODS: dict[str, Method] = {
    method.name: method
    for method in (Ridge(), Procrustes(), Cca(), M2m(), Distillation(), UClip(), Contrastive(), Leccr(), Average())
}
