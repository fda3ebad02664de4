"""One run of the trainer: from examples and an unchanged model to a changed one."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mella_retrieval.encoders.image_text_models import ImageTextModel
from mella_retrieval.errors import DataError
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.sft.checkpoints import last_whole, remove_broken
from mella_retrieval.mllm.sft.collating import ROW, TIME, Collator
from mella_retrieval.mllm.sft.drawing import Rows, draw, times_before
from mella_retrieval.mllm.sft.examples import EVALUATION, TRAIN, Examples
from mella_retrieval.mllm.sft.parts import Parts
from mella_retrieval.mllm.sft.preparing import rows_of
from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.mllm.sft.report import SftReport
from mella_retrieval.mllm.sft.trainer import Watch, lines, trainer_class

WAIT = 7 * 24 * 3600
"""Seconds that processes wait for one another: the first prepares the records while the others do nothing."""


@dataclass(frozen=True)
class Order:
    """What is trained on and when, the same whatever the batch size and the number of processes.

    Attributes:
        train: rows of the examples, in order, whole batches.
        evaluation: rows that are held out and looked at.
    """

    train: Rows
    evaluation: Rows

    @classmethod
    def of(cls, examples: Examples, recipe: SftRecipe) -> Order:
        """Draw it."""
        rows, held_out = rows_of(examples, TRAIN), rows_of(examples, EVALUATION)
        sources = examples.column("source").take(rows).to_pylist()
        drawn = draw(
            sources, recipe.weights, batch=recipe.batch, epochs=recipe.epochs, steps=recipe.steps, seed=recipe.seed
        )  # fmt: skip
        if len(held_out) > recipe.evaluation.limit:
            chosen = np.random.default_rng([recipe.seed]).choice(held_out, recipe.evaluation.limit, replace=False)
            held_out = np.sort(chosen)
        return cls(rows[drawn], held_out)


def settings(recipe: SftRecipe, work: Path, *, per_device: int, accumulation: int, bf16: bool, cpu: bool) -> Any:
    """The recipe as TRL has it; making it also joins the processes of a distributed run."""
    return mllm_package("trl").SFTConfig(
        output_dir=str(work / "checkpoints"),
        per_device_train_batch_size=per_device,
        per_device_eval_batch_size=per_device,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=1,  # the order holds every pass
        train_sampling_strategy="sequential",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        bf16=bf16,
        activation_checkpointing=recipe.activation_checkpointing,
        max_length=None,  # nothing is cut
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        eval_strategy="steps",
        eval_steps=recipe.evaluation.every,
        logging_steps=recipe.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.checkpoint_every,
        save_total_limit=2,  # the older one is whole while the newer is written
        seed=recipe.seed,
        use_cpu=cpu,
        dataloader_num_workers=min(recipe.workers, _cores()),
        dataloader_pin_memory=not cpu,
        ddp_timeout=WAIT,
        ddp_find_unused_parameters=set(recipe.frozen) != {"vision", "connector"},
        disable_tqdm=True,
        report_to="none",
    )


def addition(recipe: SftRecipe, parts: Parts) -> Any:
    """PEFT's configuration, or None for full training."""
    if recipe.method == "full":
        return None
    return mllm_package("peft").LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=parts.linear_layers(recipe.frozen),
        task_type="CAUSAL_LM",
    )


def run(
    model: ImageTextModel, recipe: SftRecipe, order: Order, collator: Collator, args: Any, watch: Watch, report: SftReport
) -> Any:
    """Train, from the newest whole state if there is one, and fill the report.

    Returns:
        The changed model (of PEFT, but for full training).

    Raises:
        TrainingError: the loss is no number any more.
    """
    from transformers import PrinterCallback

    config = copy.deepcopy(model.model.config)
    parts = Parts(model.model, model.name)
    parts.freeze(recipe.frozen)
    _keep_trainable(model.model)
    args.eval_strategy = args.eval_strategy if len(order.evaluation) else type(args.eval_strategy)("no")
    start = last_whole(watch.work / "checkpoints")
    args.eval_on_start = bool(len(order.evaluation)) and start is None
    watch.wait()
    if watch.main:
        remove_broken(watch.work / "checkpoints")
    trainer = trainer_class()(
        model=model.model,
        args=args,
        data_collator=collator,
        train_dataset=_dataset(order.train),
        eval_dataset=_dataset(order.evaluation) if len(order.evaluation) else None,
        processing_class=model.processor,
        peft_config=addition(recipe, parts),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    _in_32_bits(trainer.model)
    report.trained_parameters, report.parameters = _parameters(trainer.model)
    report.resumed_at = start[1] if start else 0
    begin = time.monotonic()
    with _pictures_there():
        trainer.train(resume_from_checkpoint=str(start[0]) if start else None)
        report.seconds = time.monotonic() - begin
        if len(order.evaluation) and not _evaluated_last(trainer.state):
            trainer.evaluate()
    report.steps, report.log = trainer.state.global_step, lines(trainer.state.log_history)
    report.tokens = trainer.tokens
    report.peak_memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    model.model.config = config  # the trainer turned the cache of answers off, which is nothing to who uses the model
    return trainer.accelerator.unwrap_model(trainer.model)


@contextmanager
def _pictures_there() -> Iterator[None]:
    """All could be read before training: one that cannot be read any more is an interruption."""
    try:
        yield
    except DataError as error:
        said = str(error).strip().rpartition("DataError: ")[2]  # a process that reads pictures hands on where it was, too
        raise DataError(f"{said} Run the same command again to continue, once it is back.") from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_32_bits(model: Any) -> None:
    """What is trained has 32 bits: TRL leaves 16 to the additions to weights in 4 bits, and an interruption makes them 32."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _keep_trainable(model: Any) -> None:
    """Weights in 4 bits must not be laid out anew by an evaluation on a CPU: bitsandbytes cannot train in that layout."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _parameters(model: Any) -> tuple[int, int]:
    """Trained ones, and all."""
    if hasattr(model, "get_nb_trainable_parameters"):  # knows how many stand in a byte
        trained, every = model.get_nb_trainable_parameters()
        return int(trained), int(every)
    counts = [(one.numel(), one.requires_grad) for one in model.parameters()]
    return sum(count for count, trained in counts if trained), sum(count for count, _ in counts)


def _dataset(rows: Rows) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({ROW: rows, TIME: times_before(rows)})


def _evaluated_last(state: Any) -> bool:
    return any("eval_loss" in line and line["step"] == state.global_step for line in state.log_history)
