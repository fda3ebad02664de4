"""A trained model as a folder that others can load: no path of this machine stands in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from mella_retrieval.artifacts import Json, describe_file, library_versions, write_manifest
from mella_retrieval.data.records import SKIPPED
from mella_retrieval.encoders.hub import is_local
from mella_retrieval.encoders.image_text_models import load_image_text_model
from mella_retrieval.encoders.torch_towers import PRECISIONS
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.sft.card import write_card
from mella_retrieval.mllm.sft.report import SftReport

KIND, VERSION = "mllm", 1
LOG = "log.jsonl"


def save_adapter(model: Any, folder: Path, base: str, revision: str | None) -> None:
    """Store the additions alone; of a base in a folder only the folder's own name is told."""
    config = model.peft_config[model.active_adapter]
    config.base_model_name_or_path, config.revision = Path(base).resolve().name if is_local(base) else base, revision
    model.save_pretrained(folder, save_embedding_layers=False)


def save_whole(model: Any, folder: Path, precision: str) -> None:
    """Store all weights in a precision."""
    model.to(PRECISIONS[precision])
    model.save_pretrained(folder)


def merge(base: str, revision: str | None, adapter: Path, precision: str) -> Any:
    """The base, read once more and never in 4 bits, with the stored additions added to its weights; on the CPU."""
    loaded = load_image_text_model(base, revision=revision, device="cpu", precision=precision)
    wrapped = mllm_package("peft").PeftModel.from_pretrained(loaded.model, str(adapter))
    with torch.no_grad():
        return wrapped.merge_and_unload()


def finish(folder: Path, work: Path, processor: Any, report: SftReport, made_by: Json) -> None:
    """Add to a folder with weights: processor, log, list of skipped records, card and manifest."""
    processor.save_pretrained(folder)
    shutil.copyfile(work / SKIPPED, folder / SKIPPED)
    (folder / LOG).write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in report.log), encoding="utf-8")
    (folder / "README.md").write_text(write_card(report, made_by), encoding="utf-8")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): describe_file(path) for path in paths}
    versions = library_versions("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")
    for path in paths:
        path.chmod((folder / SKIPPED).stat().st_mode)  # weights were written for the owner alone
    content = {"steps": report.steps, "counts": vars(report.prepared), "files": files, "versions": versions}
    write_manifest(folder, KIND, VERSION, {**made_by, **content})
