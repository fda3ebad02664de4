"""Supervised fine-tuning of an MLLM on records: `fine_tune`."""

from __future__ import annotations

from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.mllm.sft.report import SftReport
from mella_retrieval.mllm.sft.tuning import fine_tune

__all__ = ["SftRecipe", "SftReport", "fine_tune"]
