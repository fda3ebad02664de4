"""LECCR's head: pictures enriched with the semantics of a description (arXiv 2409.19961, ACM MM 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from mella_retrieval.adapters.fitting import FitConfig, Problem, fit
from mella_retrieval.adapters.gradient import seeded, unit
from mella_retrieval.adapters.heads import Head, fold
from mella_retrieval.adapters.inputs import Inputs, Pairs
from mella_retrieval.adapters.leccr import losses
from mella_retrieval.adapters.leccr.scene_batches import enriched_blocks, scene_batch
from mella_retrieval.adapters.leccr.scenes import Rows, Scenes
from mella_retrieval.adapters.leccr.slot_file import SlotShape, StoredSlots
from mella_retrieval.adapters.leccr.slots import Enriched, SceneBatch, Slots, Standardised, with_holes
from mella_retrieval.adapters.leccr.statistics import description_statistics, picture_statistics, sentence_statistics
from mella_retrieval.adapters.leccr.text_draws import TextDraws
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.selection import MEASURE, mean_reciprocal_rank
from mella_retrieval.adapters.stored import Stored
from mella_retrieval.embeddings.mapped import VectorRows
from mella_retrieval.errors import ConfigError, TrainingError

DIM = 256
"""Dimension of the shared space, as published."""

SAMPLE = 65_536
"""Rows by which pooled vectors are standardised."""


class LeccrConfig(FitConfig):
    """Options of LECCR's head. `batch_size` counts pictures.

    Attributes:
        public_behaviour: the formulas of the public repository, with its traps (see `Leccr`).
        slots: False leaves `P_v` over the pooled image vector: the same head without descriptions.
        queries: slots of a picture; 4 for pictures, 2 for videos.
        width: of slots and projected tokens (published 512, that of the tower).
        heads: of the attention.
        temperature: of the contrastive losses, fixed.
        teacher_temperature: of softened matching.
        texts_per_image: rows that each picture has in a step; each draws one English and one target-language text anew.
        hidden: share of pictures shown without their description in a step, so that pictures that have none can be enriched too.
        dropped: share of all tokens hidden in a step: a few hundred pictures are learned by heart without it.
        english: weight of NCE(h_v, h_s).
        target: weight of NCE(h_v, h_t), which is also multiplied by 1 - `soft`.
        soft: a, weight of softened matching.
        languages: weight of NCE(h_s, h_t).
        slot: c, weight of L_slot of both languages.
        across: g, weight of slots against patches.
        apart: r, weight of the regulariser.
    """

    epochs: int = Field(default=12, ge=1)
    batch_size: int = Field(default=128, ge=2)
    weight_decay: float = Field(default=1.0, ge=0)
    public_behaviour: bool = False
    slots: bool = True
    queries: int = Field(default=4, ge=1)
    width: int = Field(default=256, ge=1)
    heads: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.1, gt=0)
    teacher_temperature: float = Field(default=0.1, ge=0.05, le=0.1)
    texts_per_image: int = Field(default=4, ge=1)
    hidden: float = Field(default=0.1, ge=0, le=1)
    dropped: float = Field(default=0.3, ge=0, lt=1)
    english: float = Field(default=1.0, ge=0)
    target: float = Field(default=1.0, ge=0)
    soft: float = Field(default=0.5, ge=0, le=1)
    languages: float = Field(default=1.0, ge=0)
    slot: float = Field(default=0.01, ge=0)
    across: float = Field(default=0.01, ge=0)
    apart: float = Field(default=0.01, ge=0)


@dataclass(frozen=True)
class TextBatch:
    """R rows of two texts about B pictures.

    Attributes:
        owner: (R,), the picture of each row.
        english, target: (R, dim), L2-normalised; a row that a picture has no such text for holds anything.
        has_english, has_target: (R,), where they stand.
    """

    owner: Tensor
    english: Tensor
    target: Tensor
    has_english: Tensor
    has_target: Tensor


class Leccr:
    """LECCR's head on two frozen towers; not LECCR's end-to-end fine-tuning.

    `Slots` turns the tokens of a picture and of its descriptions (all of them, one after another) into `h_v` (256) and n local
    vectors; `h_s` and `h_t` are `P_t` of pooled English and target-language text vectors. All are L2-normalised. The class token
    is the stored pooled image vector: the tower's projected class token where it has one, and what the tower pools from its
    tokens where it has none (SqueezeNet: their mean).

        L = english NCE(h_v, h_s) + (1 - a) target NCE(h_v, h_t) + a L_soft + languages NCE(h_s, h_t)
            + c (L_slot(s) + L_slot(t)) + g L_cv + r L_reg

    A step takes `batch_size` pictures; each has `texts_per_image` rows, each with one English and one text of another language
    (language first, then text, both evenly). Where a picture has none of a kind, the terms with it leave its rows out. Other
    texts of a row's picture count neither as right nor as wrong. The epoch with the best held-out text-to-image rank,
    descriptions included, is kept.

    `public_behaviour` keeps the repository's formulas (LiJiaBei-7/leccr), minus its selection on the test set: queries start at
    zero; other texts of a row's picture are wrong; slots are not normalised; the teacher adds a transposed matrix, has no
    temperature and teaches one direction; slots and patches are normalised over tokens instead of features, without temperature;
    the regulariser takes the signed cosine. Layers, sampling and schedule are this toolkit's in both cases.
    """

    name = "leccr"
    needs = (frozenset({"pairs", "image_vectors", "tokens", "descriptions"}),)
    config = LeccrConfig

    def fit(self, inputs: Inputs, config: LeccrConfig, run: Run) -> Fitted:
        """Train the slots and the text head."""
        pairs, scenes = inputs.pairs, inputs.scenes
        if pairs is None or scenes is None:
            raise TrainingError(
                "leccr needs pairs, image vectors with tokens, and descriptions with tokens (mella embed --tokens)."
            )
        if config.hubness:
            raise ConfigError(
                "leccr cannot fold a correction for hubs into its heads: its gallery is enriched later. Remove hubness."
            )
        if config.width % config.heads:
            raise ConfigError(f"width {config.width} is no multiple of heads {config.heads}.")
        device = run.place()
        generator = torch.Generator().manual_seed(inputs.seed)
        module = _module(inputs, pairs, scenes, config, generator).to(device)
        slots, text_head = module["slots"], module["text"]
        assert isinstance(slots, Slots) and isinstance(text_head, Standardised)
        images, stored = np.unique(pairs.image_rows[pairs.train]), Stored(pairs.text, device)
        draws = [TextDraws(pairs, english=kind) for kind in (True, False)]

        def loss(chosen: Tensor) -> Tensor:
            rows = images[chosen.numpy()]
            whole = scene_batch(scenes, pairs.images[rows], rows)
            batch = with_holes(whole, config.hidden, config.dropped, generator).to(device)
            owner = torch.arange(len(rows)).repeat_interleave(config.texts_per_image)
            english, target = (draw(rows[owner.numpy()], generator) for draw in draws)
            out, vectors = slots(batch), [text_head(stored[side.clamp_min(0)]) for side in (english, target)]
            with torch.autocast(device.type, enabled=False):
                sides = [unit(side.float()) for side in vectors]
                texts = TextBatch(*(part.to(device) for part in (owner, *sides, english >= 0, target >= 0)))
                return leccr_loss(out.float(), batch, texts, config)

        def measure() -> float:
            return _held_out_rank(slots, text_head, pairs, scenes)

        def outputs() -> Tensor:
            return unit(text_head(stored[torch.from_numpy(pairs.held_out)]))

        report = fit(Problem(module, loss, measure, len(images), outputs), config, generator, run)
        counted = {
            "pictures": len(images),
            "without description": int((scenes.descriptions_each[images] == 0).sum()),
            "without English text": int((~draws[0].has(images)).sum()),
            "without text in another language": int((~draws[1].has(images)).sum()),
        }
        on = f"{len(pairs.held_out)} held-out captions, text to described image"
        return Fitted(
            fold(nn.Sequential(text_head.cpu().folded())),
            Head(),
            {"measure": MEASURE, "on": on, "counted": counted, **report},
            _stored(slots, inputs),
        )


def leccr_loss(out: Enriched, scenes: SceneBatch, texts: TextBatch, config: LeccrConfig) -> Tensor:
    """The loss of a batch as the class `Leccr` writes it; a term with weight 0, or without two rows, is not computed."""
    public = config.public_behaviour
    image, owner = unit(out.glob), texts.owner
    english, target = (torch.nonzero(has)[:, 0] for has in (texts.has_english, texts.has_target))
    both = torch.nonzero(texts.has_english & texts.has_target)[:, 0]
    total = image.new_zeros(())

    def together(first: Tensor, rows: Tensor, second: Tensor) -> Tensor:
        logits = first @ second[rows].T / config.temperature
        return losses.matching(logits, losses.neither(owner[rows], public))

    if config.english and len(english) > 1:
        total = total + config.english * together(image[owner[english]], english, texts.english)
    if config.target * (1 - config.soft) and len(target) > 1:
        total = total + (1 - config.soft) * config.target * together(image[owner[target]], target, texts.target)
    if config.languages and len(both) > 1:
        total = total + config.languages * together(texts.english[both], both, texts.target)
    if config.soft and len(both) > 1:
        total = total + config.soft * _softened(out, image, texts, both, config)
    if not out.slots.shape[1]:
        return total
    if config.slot:
        for rows, side in ((english, texts.english), (target, texts.target)):
            if len(rows) > 1:
                best = losses.best_slot(out.local, side[rows], public)[owner[rows]] / config.temperature
                total = total + config.slot * losses.matching(best, losses.neither(owner[rows], public))
    described = torch.nonzero(scenes.described_mask.any(dim=1))[:, 0]
    if config.across and len(described) > 1:
        sides = (out.slots_across[described], out.patches[described], scenes.token_mask[described])
        across = losses.public_slots_and_patches(*sides) if public else losses.slots_and_patches(*sides, config.temperature)
        total = total + config.across * across
    if config.apart:
        total = total + config.apart * losses.apart(out.slots, public)
    return total


def _softened(out: Enriched, image: Tensor, texts: TextBatch, both: Tensor, config: LeccrConfig) -> Tensor:
    english, target, owner = texts.english[both], texts.target[both], texts.owner[both]
    sides = (english, target)
    if not out.local.shape[1]:  # without slots the global similarity is all there is
        teacher, student = (side @ image.T for side in sides)
        return losses.softened_matching(teacher, student, config.teacher_temperature)
    if config.public_behaviour:
        best = losses.best_slot(out.local, english, public=True)[owner]
        return losses.public_softened_matching(english @ image[owner].T, best, target @ image[owner].T)
    teacher, student = (losses.text_image(side, image, losses.best_slot(out.local, side)) for side in sides)
    return losses.softened_matching(teacher, student, config.teacher_temperature)


def _module(inputs: Inputs, pairs: Pairs, scenes: Scenes, config: LeccrConfig, generator: torch.Generator) -> nn.ModuleDict:
    shape = SlotShape(
        pooled_dim=inputs.image_tower.dim,
        token_dim=scenes.images.dim,
        description_dim=scenes.descriptions.dim,
        sentence_dim=inputs.text_tower.dim,
        queries=config.queries,
        width=config.width,
        heads=config.heads,
        dim=DIM,
        slots=config.slots,
    )
    slots = seeded(lambda: Slots(shape, zero_queries=config.public_behaviour), generator)
    text = seeded(lambda: Standardised(inputs.text_tower.dim, DIM), generator)
    assert isinstance(slots, Slots) and isinstance(text, Standardised)
    images = np.unique(pairs.image_rows[pairs.train])
    text.set_statistics(*_statistics(pairs.text, pairs.train))
    slots.pooled.set_statistics(*_statistics(pairs.images, images))
    if config.slots:
        slots.tokens.set_statistics(*picture_statistics(scenes, images))
        slots.description.set_statistics(*description_statistics(scenes, images))
        slots.sentence.set_statistics(*sentence_statistics(scenes, images))
    return nn.ModuleDict({"slots": slots, "text": text})


def _statistics(vectors: VectorRows, rows: Rows) -> tuple[Tensor, Tensor]:
    """Mean and spread of at most `SAMPLE` rows, evenly chosen: the same whatever the memory."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(np.int64))]
    values = vectors[chosen].astype(np.float64)
    return torch.from_numpy(values.mean(0)).float(), torch.from_numpy(values.std(0)).float()


def _global_vectors(slots: Slots, pairs: Pairs, scenes: Scenes, rows: Rows) -> np.ndarray:
    blocks = enriched_blocks(slots, scenes, lambda chosen: pairs.images[chosen], rows)
    return np.concatenate([glob for glob, _ in blocks])


def _held_out_rank(slots: Slots, text_head: Standardised, pairs: Pairs, scenes: Scenes) -> float:
    rows = pairs.held_out
    used, partner = np.unique(pairs.image_rows[rows], return_inverse=True)
    gallery = _global_vectors(slots, pairs, scenes, used)
    device = slots.to_global.weight.device
    queries = unit(text_head(torch.from_numpy(pairs.text[rows]).to(device))).cpu().numpy()
    return mean_reciprocal_rank(queries, gallery, partner, [pairs.langs[row] for row in rows])


def _stored(slots: Slots, inputs: Inputs) -> StoredSlots:
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in slots.state_dict().items()}
    return StoredSlots.of(save(tensors), inputs.image_tower, inputs.text_tower, slots.shape)
