"""The slot module: shapes, masks, gradients, and the attention that saves work without changing numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mella_retrieval.adapters.leccr.slot_file import SlotShape
from mella_retrieval.adapters.leccr.slots import CrossAttention, SceneBatch, Slots, Standardised, with_holes

SHAPE = SlotShape(pooled_dim=7, token_dim=5, description_dim=6, sentence_dim=9, queries=4, width=16, heads=2, dim=256)


def scenes(b: int = 3, n: int = 4, length: int = 3, seed: int = 0) -> SceneBatch:
    torch.manual_seed(seed)
    full = torch.ones(b, n, dtype=torch.bool), torch.ones(b, length, dtype=torch.bool), torch.ones(b, 1, dtype=torch.bool)
    vectors = torch.randn(b, 7), torch.randn(b, n, 5), torch.randn(b, length, 6), torch.randn(b, 1, 9)
    return SceneBatch(vectors[0], vectors[1], full[0], vectors[2], full[1], vectors[3], full[2])


def padded(batch: SceneBatch, by: int) -> SceneBatch:
    """The same with `by` more places of rubbish behind each ragged part."""

    def longer(x: Tensor) -> Tensor:
        return torch.cat([x, 99 * torch.ones(len(x), by, x.shape[-1])], dim=1)

    def hidden(mask: Tensor) -> Tensor:
        return torch.cat([mask, torch.zeros(len(mask), by, dtype=torch.bool)], dim=1)

    return SceneBatch(
        batch.pooled,
        *(longer(batch.tokens), hidden(batch.token_mask)),
        *(longer(batch.described), hidden(batch.described_mask)),
        *(longer(batch.sentences), hidden(batch.sentence_mask)),
    )


def module(**changes: object) -> Slots:
    torch.manual_seed(1)
    return Slots(SHAPE.model_copy(update=changes)).eval()


@pytest.mark.parametrize("queries", [2, 4])
def test_shapes(queries: int):
    out = module(queries=queries)(scenes())
    assert out.glob.shape == (3, 256)
    assert out.local.shape == (3, queries, 256)
    assert out.slots.shape == out.slots_across.shape == (3, queries, 16)
    assert out.patches.shape == (3, 4, 16)


def test_padding_never_changes_a_result():
    slots, batch = module(), scenes()
    with torch.no_grad():
        own, more = slots(batch), slots(padded(batch, 3))
    for name in ("glob", "local", "slots"):
        assert torch.allclose(getattr(own, name), getattr(more, name), atol=1e-5)


def test_nor_do_the_other_rows_of_a_batch():
    slots, batch = module(), scenes()
    with torch.no_grad():
        every = slots(batch).glob
        alone = slots(SceneBatch(*(getattr(batch, name)[1:2] for name in SceneBatch.__dataclass_fields__))).glob
    assert torch.allclose(every[1:2], alone, atol=1e-5)


def test_masked_tokens_are_not_seen_and_shown_ones_are():
    slots, batch = module(), scenes()
    hidden = replace(batch, described_mask=torch.tensor([[True, True, False]] * 3))
    changed = replace(hidden, described=batch.described + torch.tensor([0.0, 0.0, 5.0])[None, :, None])
    with torch.no_grad():
        assert torch.equal(slots(hidden).glob, slots(changed).glob)
        assert not torch.allclose(slots(batch).glob, slots(replace(changed, described_mask=batch.described_mask)).glob, atol=1e-3)


def test_a_picture_without_description_is_given_the_learned_token():
    slots, batch = module(), scenes()
    none = replace(batch, described_mask=~batch.described_mask, sentence_mask=~batch.sentence_mask)
    empty = replace(none, described=torch.zeros(3, 0, 6), described_mask=torch.zeros(3, 0, dtype=torch.bool))
    with torch.no_grad():
        first = slots(none).glob
        assert torch.allclose(first, slots(empty).glob, atol=1e-6)
        assert torch.isfinite(first).all()
        slots.absent += torch.randn(16)
        assert not torch.allclose(first, slots(none).glob, atol=1e-3)


def test_the_learned_token_is_not_seen_beside_a_description():
    slots, batch = module(), scenes()
    with torch.no_grad():
        first = slots(batch).glob
        slots.absent += 100 * torch.randn(16)
        assert torch.equal(first, slots(batch).glob)


def test_gradient_reaches_every_parameter():
    slots, batch = module(), scenes()
    batch = replace(batch, described_mask=batch.described_mask.clone(), sentence_mask=batch.sentence_mask.clone())
    batch.described_mask[0] = batch.sentence_mask[0] = False  # so that the learned token is seen
    out = slots(batch)
    weights = [torch.randn_like(part) for part in (out.glob, out.local, out.slots_across, out.patches)]
    sum(
        (part * w).sum() for part, w in zip((out.glob, out.local, out.slots_across, out.patches), weights, strict=True)
    ).backward()
    without = [name for name, value in slots.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


def test_without_slots_the_pooled_vector_alone_counts():
    slots, batch = module(slots=False), scenes()
    out = slots(batch)
    assert out.local.shape == (3, 0, 256)
    assert torch.equal(out.glob, slots(replace(scenes(seed=5), pooled=batch.pooled)).glob)
    assert {name.partition(".")[0] for name, _ in slots.named_parameters()} == {"pooled", "to_global"}


def test_zero_queries_stay_alike_and_small_ones_do_not():
    torch.manual_seed(1)
    public, batch = Slots(SHAPE, zero_queries=True), scenes()
    assert not public.queries.any()
    same = public(batch).slots
    assert torch.allclose(same[:, 0], same[:, 3], atol=1e-6)
    assert (module().queries.std() - 0.02).abs() < 0.01
    other = module()(batch).slots
    assert not torch.allclose(other[:, 0], other[:, 3], atol=1e-4)


def test_the_attention_equals_the_library_s():
    """`torch.nn.MultiheadAttention` projects keys and values; ours moves the matrices to the queries' side."""
    torch.manual_seed(0)
    own = CrossAttention(16, 4, layers=1).double()
    layer = own.layers[0]
    library = nn.MultiheadAttention(16, 4, batch_first=True).double()
    with torch.no_grad():
        library.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        library.in_proj_bias.copy_(torch.cat([layer.query.bias, torch.randn(16), layer.value.bias]))
        library.out_proj.weight.copy_(layer.out.weight)
        library.out_proj.bias.copy_(layer.out.bias)
    x, keys = torch.randn(2, 3, 16).double(), torch.randn(2, 5, 16).double()
    mask = torch.tensor([[True, True, False, True, True], [True, False, False, False, True]])
    normed = own.norm(keys)
    seen = library(layer.norm(x), normed, normed, key_padding_mask=~mask, need_weights=False)[0]
    expected = x + seen
    expected = expected + layer.feed_forward(expected)
    assert torch.allclose(own(x, keys, mask), expected, atol=1e-10)


def test_standardising_folds_into_one_linear():
    torch.manual_seed(0)
    part = Standardised(4, 3)
    x = torch.randn(10, 4) * torch.tensor([1.0, 5.0, 0.1, 0.0]) + 2
    part.set_statistics(x.mean(0), x.std(0, correction=0))
    assert torch.allclose(part.folded()(x), part(x), atol=1e-4)
    ones = nn.Linear(4, 4)
    nn.init.eye_(ones.weight), nn.init.zeros_(ones.bias)
    part.linear = ones
    assert torch.allclose(part(x)[:, :3].std(0, correction=0), torch.ones(3), atol=1e-3)
    assert torch.allclose(part(x).mean(0), torch.zeros(4), atol=1e-4)  # a feature that never changes is not blown up


def test_holes_keep_the_first_token_of_a_picture_and_hide_whole_descriptions():
    batch, generator = scenes(b=200, n=10, length=10), torch.Generator().manual_seed(0)
    holed = with_holes(batch, 0.25, 0.5, generator)
    assert holed.token_mask[:, 0].all()
    assert 0.45 < holed.token_mask[:, 1:].float().mean() < 0.55
    hidden = ~holed.sentence_mask[:, 0]
    assert 0.15 < hidden.float().mean() < 0.35
    assert not holed.described_mask[hidden].any()
    whole = with_holes(batch, 0, 0, generator)
    assert whole.token_mask.all() and whole.described_mask.all() and whole.sentence_mask.all()
    assert batch.token_mask.all()  # the batch itself is as it was
