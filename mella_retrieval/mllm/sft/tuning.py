"""`fine_tune`: records in, a fine-tuned model out."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mella_retrieval.artifacts import beside, new_folder, read_manifest, remove_leftovers, require_free, writer_lock
from mella_retrieval.data.records import Records, Where
from mella_retrieval.encoders.batching import is_out_of_memory
from mella_retrieval.encoders.hub import is_local
from mella_retrieval.encoders.image_text_models import identify, is_adapter, load_image_text_model
from mella_retrieval.encoders.picture_limits import limit_patches
from mella_retrieval.encoders.torch_towers import find_device
from mella_retrieval.encoders.transformers_models import resolve_precision
from mella_retrieval.errors import ConfigError, DataError, TrainingError
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.sft import running, saving
from mella_retrieval.mllm.sft.collating import Collator
from mella_retrieval.mllm.sft.conversations import Conversations
from mella_retrieval.mllm.sft.examples import Examples, Reading
from mella_retrieval.mllm.sft.job import Job
from mella_retrieval.mllm.sft.lengths import Lengths
from mella_retrieval.mllm.sft.preparing import EXAMPLES, Preparing, stored
from mella_retrieval.mllm.sft.processes import Processes
from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.mllm.sft.report import SftReport
from mella_retrieval.mllm.sft.trainer import Watch

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


def fine_tune(
    model: str,
    records: Records,
    out: Path | str,
    recipe: SftRecipe,
    *,
    where: Where | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SftReport:
    """Fine-tune a model on the texts of records and write the folder `out`.

    What a killed run continues from stands in `<out>.work`; started again with the same arguments, it ends on a CPU with the
    same bytes as an undisturbed one. With several processes (torchrun, accelerate) each calls this with the same arguments.
    Where memory is not enough, fewer conversations are computed at a time, and each step still has as many; with several
    processes this ends the run, and the next one goes on so.

    Args:
        model: an image-text-to-text model of transformers: a folder, or a hub name, `owner/name` or `owner/name@revision`.
        records: rows with a text are trained on: those of the split `train` where there are splits.
        out: the model's folder: weights or adapter, processor, `manifest.json`, card, `log.jsonl`, `skipped.csv`.
        recipe: all settings.
        where: keep only rows with the given column values.
        device: `auto`, `cpu`, `cuda` or `mps`; which cards, says CUDA_VISIBLE_DEVICES.
        overwrite: replace a fine-tuned model that is there.
        progress: told (stage, done, all): records prepared, then steps.

    Raises:
        ConfigError: prompts are missing, or settings do not fit the model.
        DataError: nothing can be trained on, a picture vanished, or `out` would replace its own inputs.
        EncoderError: the model cannot be loaded, is none of its kind, or is an adapter.
        TrainingError: memory is not enough for one conversation, or the loss diverged.
        ArtifactError, LockedError: `out` or its work folder is there already, is being written, or belongs to another job.
        MissingDependencyError: the extra `mllm` is not installed.
    """
    for package in ("trl", "peft", *(["bitsandbytes"] if recipe.method == "qlora" else [])):
        mllm_package(package)
    out, processes = Path(out), Processes.here()
    name, revision = (model, None) if is_local(model) else _revised(model)
    _refuse(name, records, out, overwrite)
    place = _place(device)
    job = Job(
        model=name,
        revision=revision,
        identity=identify(name, revision=revision),
        records=records,
        where=where,
        recipe=recipe,
        prompts=Prompts.load(recipe.prompts or None),
        precision=resolve_precision(recipe.precision, place),
        work=beside(out, ".work"),
        processes=processes,
    )
    processes.share(recipe.batch)
    with _locked(job, out):
        while True:
            try:
                return _attempt(job, out, place, overwrite, progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            _shrink(job, reason)


def _revised(model: str) -> tuple[str, str | None]:
    name, _, revision = model.partition("@")
    return name, revision or None


def _refuse(model: str, records: Records, out: Path, overwrite: bool) -> None:
    if is_adapter(model):
        raise ConfigError(f"{model} is an adapter; train the model that it was merged into (save=merged).")
    own = [records.folder.resolve(), records.image_root, *([Path(model).resolve()] if is_local(model) else [])]
    if out.resolve() in {place for folder in own for place in (folder, *folder.parents)}:
        raise DataError(f"{out} would replace the model, records or pictures that it is made from; choose another folder.")
    if not Processes.here().main:
        return
    require_free(out, overwrite=overwrite)
    if out.is_dir() and any(out.iterdir()):
        read_manifest(out, saving.KIND, saving.VERSION)  # nothing else will be replaced; said before the long work


def _place(device: str) -> torch.device:
    place = find_device(device)
    if place.index is not None:
        raise ConfigError(f"device {device!r}: training takes the cards that CUDA_VISIBLE_DEVICES names; say device cuda.")
    return place


@contextmanager
def _locked(job: Job, out: Path) -> Iterator[None]:
    """Hold `out` and its work folder, in the process that writes."""
    if not job.processes.main:
        yield
        return
    with writer_lock(out):
        remove_leftovers(out.parent, out.name)
        with job.claimed():
            yield


def _attempt(job: Job, out: Path, place: torch.device, overwrite: bool, progress: Progress | None) -> SftReport:
    """Train with what is known of the memory, from the newest state."""
    recipe, processes = job.recipe, job.processes
    per_device = job.per_device
    args = running.settings(
        recipe,
        job.work,
        per_device=per_device,
        accumulation=processes.share(recipe.batch) // per_device,
        bf16=job.precision == "bf16",
        cpu=place.type == "cpu",
    )
    # Full training keeps its weights in 32 bits: steps are smaller than what 16 bits can tell apart.
    stored_in = "fp32" if recipe.method == "full" else job.precision
    loaded = load_image_text_model(
        job.model,
        revision=job.revision,
        device=_own(args),
        precision=stored_in,
        quantize=recipe.method == "qlora",
    )
    limit_patches(loaded.processor, recipe.picture.max_patches, loaded.name)
    processor = copy.deepcopy(loaded.processor)  # to be stored: use leaves its traces in a tokenizer
    conversations = Conversations(loaded.processor, loaded.name, images=recipe.images, system=recipe.system)
    if processes.main:
        lengths = Lengths(loaded.processor, conversations, images=recipe.images)
        reading = Reading(job.records, recipe, job.prompts, job.where)
        Preparing(job.work, reading, conversations, lengths, recipe.max_length).run(_stage(progress, "preparing"))
    processes.wait()
    examples = Examples(job.work / EXAMPLES)
    report = SftReport(out, loaded.name, recipe.method, stored(job.work), batch=recipe.batch, processes=processes.number)
    report.per_device = per_device
    collator = Collator(examples, job.records, loaded.processor, conversations, job.prompts, recipe)
    watch = Watch(job.work, processes.main, processes.wait, _stage(progress, "training"))
    trained = running.run(loaded, recipe, running.Order.of(examples, recipe), collator, args, watch, report)
    del loaded
    if processes.main:
        _write(job, out, trained, processor, report, overwrite)
    processes.wait()
    return report


def _own(args: Any) -> str:
    """This process's device; of several visible cards a process without torchrun takes one."""
    place = args.device
    if args.n_gpu > 1:
        log.warning("%d CUDA devices are visible and one is used; start with torchrun to use all", args.n_gpu)
        args._n_gpu = 1
    return f"cuda:{place.index or 0}" if place.type == "cuda" else str(place.type)


def _stage(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def _write(job: Job, out: Path, trained: Any, processor: Any, report: SftReport, overwrite: bool) -> None:
    with new_folder(out, overwrite=overwrite) as folder:
        if job.recipe.method == "full":
            saving.save_whole(trained, folder, job.precision)
        elif job.recipe.save == "adapter":
            saving.save_adapter(trained, folder, job.model, job.revision)
        else:
            additions = job.work / "adapter"
            saving.save_adapter(trained, additions, job.model, job.revision)
            merged = saving.merge(job.model, job.revision, additions, job.precision)
            saving.save_whole(merged, folder, job.precision)
        saving.finish(folder, job.work, processor, report, job.made_by())
    job.finish()


def _shrink(job: Job, reason: str) -> None:
    """Halve what is computed at a time; the steps stay what they are, for their gradients are added up.

    Raises:
        TrainingError: one conversation is too much already; or there are several processes, whose others wait for this one.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    now = job.per_device
    if now == 1:
        raise TrainingError(
            f"memory is not enough for one conversation at a time ({reason}): use activation_checkpointing=true, a smaller "
            "picture.max_pixels (or max_patches) or max_length, method=qlora, or a smaller model."
        )
    fewer = job.processes.at_a_time(job.recipe.batch, now // 2)
    job.remember(fewer)
    said = f"memory was not enough for {now} conversations at a time ({reason}): {fewer} are computed at a time from now on, "
    said += f"and each step still has {job.recipe.batch}"
    if job.processes.number > 1:
        raise TrainingError(f"{said}. Run the same command again to continue.")
    log.warning("%s", said)
