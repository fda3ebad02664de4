"""The slot module of LECCR: a picture's tokens and those of its description become one global and n local vectors.

Source: LECCR (arXiv 2409.19961), methods.md section 6. Here both towers are frozen, so this is LECCR's head alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from mella_retrieval.adapters.leccr.slot_file import SlotShape

SMALL = 0.02
"""Standard deviation of what starts near zero, but not at it: queries that are equal would stay equal."""


@dataclass(frozen=True)
class SceneBatch:
    """B pictures with their descriptions; masks are True on tokens and False on padding.

    Attributes:
        pooled: (B, d_v), the stored pooled vectors. They stand as the class token, which a tower need not have.
        tokens, token_mask: (B, N, d_n) and (B, N), the picture's tokens (of a video: one per frame).
        described, described_mask: (B, L, d_l) and (B, L), tokens of the description; a picture without one has an empty row.
        sentences, sentence_mask: (B, S, d_x) and (B, S), the pooled vector of each description. They stand as its class tokens.
    """

    pooled: Tensor
    tokens: Tensor
    token_mask: Tensor
    described: Tensor
    described_mask: Tensor
    sentences: Tensor
    sentence_mask: Tensor

    def to(self, device: torch.device) -> SceneBatch:
        """The same on a device."""
        return SceneBatch(*(getattr(self, part.name).to(device) for part in fields(self)))


@dataclass(frozen=True)
class Enriched:
    """What the slots make of a batch; nothing here is normalised.

    Attributes:
        glob: (B, dim), `P_v` of the class token of Z^.
        local: (B, n, dim), `P` of the slots grounded in the picture, M^.
        slots: (B, n, width), the semantic slots M.
        slots_across, patches: (B, n, width) and (B, N, width), slots and patches projected for the loss between them.
    """

    glob: Tensor
    local: Tensor
    slots: Tensor
    slots_across: Tensor
    patches: Tensor

    def float(self) -> Enriched:
        """The same in fp32, in which losses are computed."""
        return Enriched(*(getattr(self, part.name).float() for part in fields(self)))


def with_holes(scenes: SceneBatch, pictures: float, tokens: float, generator: torch.Generator) -> SceneBatch:
    """The batch with some pictures' descriptions hidden, and some of all tokens; every picture keeps its first own token.

    Args:
        scenes: a batch on the CPU.
        pictures: share of pictures whose descriptions are hidden.
        tokens: share of the tokens of pictures and descriptions that are hidden.
        generator: draws them.
    """
    shown = torch.rand(len(scenes.pooled), 1, generator=generator) >= pictures
    both = (scenes.token_mask, scenes.described_mask)
    patches, words = (mask & (torch.rand(mask.shape, generator=generator) >= tokens) for mask in both)
    patches[:, 0] = scenes.token_mask[:, 0]
    return replace(scenes, token_mask=patches, described_mask=words & shown, sentence_mask=scenes.sentence_mask & shown)


class Slots(nn.Module):
    """Slots between a picture's tokens Z_v and its description's tokens D.

        E  = Linear(D)                           (B, S + L, width)   sentence vectors and tokens, a Linear for each
        M  = CrossAttention_3(q=Q,   kv=E)       (B, n, width)   semantic slots from n learned queries Q
        Z^ = CrossAttention_2(q=Z_v, kv=M)       (B, width)      the picture enriched with semantics, at its class token
        M^ = CrossAttention_2(q=M,   kv=Z_v)     (B, n, width)   slots grounded in the picture

    Cross-attention does not mix its queries, so Z^ at the class token is computed from the class token alone: the same numbers
    as over all N tokens. Z_v are Linear maps of the tower's tokens, which may have any width. All inputs are standardised with
    the mean and spread of the training data (buffers). A picture without description is given one learned token in its place.

    Without slots (`shape.slots` false) what remains is `P_v` over the pooled vector: the same head without descriptions.
    """

    def __init__(self, shape: SlotShape, *, zero_queries: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.pooled = Standardised(shape.pooled_dim, shape.width)
        self.to_global = nn.Linear(shape.width, shape.dim)
        if not shape.slots:
            return
        self.tokens = Standardised(shape.token_dim, shape.width)
        self.description = Standardised(shape.description_dim, shape.width)
        self.sentence = Standardised(shape.sentence_dim, shape.width)
        self.absent = nn.Parameter(SMALL * torch.randn(shape.width))
        self.queries = nn.Parameter((0 if zero_queries else SMALL) * torch.randn(shape.queries, shape.width))
        self.gather = CrossAttention(shape.width, shape.heads, layers=3)
        self.enrich = CrossAttention(shape.width, shape.heads, layers=2)
        self.ground = CrossAttention(shape.width, shape.heads, layers=2)
        self.to_local = nn.Linear(shape.width, shape.dim)
        self.slots_across = nn.Linear(shape.width, shape.width)
        self.patches_across = nn.Linear(shape.width, shape.width)

    def forward(self, scenes: SceneBatch) -> Enriched:
        """Enrich a batch; padding and the other rows of the batch do not change a row's result."""
        classes = self.pooled(scenes.pooled)
        if not self.shape.slots:
            none = classes.new_zeros(len(classes), 0, self.shape.width)
            return Enriched(self.to_global(classes), none.new_zeros(len(classes), 0, self.shape.dim), none, none, none)
        described, mask = self._descriptions(scenes)
        patches = self.tokens(scenes.tokens)
        slots = self.gather(self.queries.expand(len(classes), -1, -1), described, mask)
        grounded = self.ground(slots, patches, scenes.token_mask)
        enriched = self.enrich(classes[:, None], slots, slots.new_ones(slots.shape[:2], dtype=torch.bool))[:, 0]
        across = self.patches_across(patches)
        return Enriched(self.to_global(enriched), self.to_local(grounded), slots, self.slots_across(slots), across)

    def _descriptions(self, scenes: SceneBatch) -> tuple[Tensor, Tensor]:
        """Description vectors with the learned one before them, which is seen only where there is no other."""
        own = torch.cat([self.sentence(scenes.sentences), self.description(scenes.described)], dim=1)
        mask = torch.cat([scenes.sentence_mask, scenes.described_mask], dim=1)
        absent = self.absent.expand(len(own), 1, -1)
        return torch.cat([absent, own], dim=1), torch.cat([~mask.any(dim=1, keepdim=True), mask], dim=1)


class Standardised(nn.Module):
    """`Linear((x - mean) / spread)` with a fixed mean and spread."""

    mean: Tensor
    spread: Tensor

    def __init__(self, wide: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(wide))
        self.register_buffer("spread", torch.ones(wide))
        self.linear = nn.Linear(wide, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., wide) to (..., width)."""
        mapped: Tensor = self.linear((x - self.mean) / self.spread)
        return mapped

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, spread: Tensor) -> None:
        """Standardise by mean and spread, each (wide,); a feature that is always the same is left as it is."""
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def folded(self) -> nn.Linear:
        """The same map as one Linear."""
        linear = nn.Linear(self.linear.in_features, self.linear.out_features)
        with torch.no_grad():
            weight = self.linear.weight.double() / self.spread.double()
            linear.weight.copy_(weight)
            linear.bias.copy_(self.linear.bias.double() - weight @ self.mean.double())
        return linear


class CrossAttention(nn.Module):
    """`layers` layers: queries (B, q, width) look at the same keys (B, k, width); a mask (B, k) is True where they may."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Returns (B, q, width)."""
        keys = self.norm(keys)
        for layer in self.layers:
            queries = layer(queries, keys, mask)
        return queries


class _Layer(nn.Module):
    """Multi-head cross-attention and a feed-forward part, each behind a LayerNorm and added to its input.

    There are few queries and many keys, so the key and value matrices are applied on the side of the queries:
    `q . (W k) = (W^T q) . k` and `sum_j a_j W v_j = W sum_j a_j v_j`. The numbers are those of the usual form at a fraction of
    the work. (A bias of the keys would add the same to all scores of a query and fall out of the softmax.)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        width, heads = x.shape[-1], self.heads
        asked = self.query(self.norm(x)).unflatten(-1, (heads, -1))  # (B, q, h, e)
        through = torch.einsum("bqhe,hew->bqhw", asked, self.key.weight.view(heads, -1, width))
        scores = torch.einsum("bqhw,bkw->bqhk", through, keys) / (width // heads) ** 0.5
        share = scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(dim=-1)
        seen = torch.einsum("bqhk,bkw->bqhw", share, keys)
        values = torch.einsum("bqhw,hew->bqhe", seen, self.value.weight.view(heads, -1, width)).flatten(-2) + self.value.bias
        x = x + self.out(values)
        summed: Tensor = x + self.feed_forward(x)
        return summed
