"""The losses of LECCR (arXiv 2409.19961; methods.md section 6), mended by default, as its repository has them with `public`.

Notation: R rows, each a text (English `s`, target language `t`) with its picture; `owner` (R,) says which picture, so that
texts of one picture are known to belong to it. All vectors are L2-normalised unless said otherwise; similarities have rows in
the order of their names: `text_image[k, b]` is text k with picture b.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mella_retrieval.adapters.gradient import unit

GLOBAL_SHARE = 0.8
"""Share of the global similarity in the teacher of softened matching; the rest is the best slot's."""


def matching(logits: Tensor, left_out: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy of (n, n) logits whose diagonal holds what belongs together; `left_out` (n, n) count as nothing."""
    if left_out is not None:
        logits = logits.masked_fill(left_out, float("-inf"))
    own = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def neither(owner: Tensor, public: bool) -> Tensor | None:
    """(R, R) pairs of two rows about one picture: no match that was drawn, and not wrong either; `public` counts them as wrong.

    (As further positives they would change nothing: where a picture stands in several rows, the targets of its rows spread over
    its texts already, and the mean is the same.)
    """
    if public:
        return None
    return (owner[:, None] == owner[None]) & ~torch.eye(len(owner), dtype=torch.bool, device=owner.device)


def best_slot(local: Tensor, texts: Tensor, public: bool = False) -> Tensor:
    """(B, R) similarity of pictures and texts: the best of a picture's slots, `max_i cos(M^_i of picture b, text r)`.

    Args:
        local: (B, n, d) grounded slots, not normalised; `public` leaves them so.
        texts: (R, d).
        public: as the repository has it.
    """
    return torch.einsum("bnd,rd->bnr", local if public else unit(local), texts).amax(dim=1)


def softened_matching(english: Tensor, target: Tensor, temperature: float) -> Tensor:
    """L_soft: the target language learns English's distribution, over pictures for each text and over texts for each picture.

    Args:
        english, target: (R, B) similarities of the two texts of each row with B pictures, see `text_image`; English is
            the teacher and carries no gradient.
        temperature: .05 to .1 (C2KD, arXiv 2210.03625, takes .1).
    """
    teacher, student = english.detach() / temperature, target / temperature
    return (_divergence(teacher.softmax(dim=1), student) + _divergence(teacher.T.softmax(dim=1), student.T)) / 2


def text_image(texts: Tensor, image: Tensor, best: Tensor) -> Tensor:
    """(R, B) `0.8 global + 0.2 best slot` of texts (R, d) and pictures (B, d), with `best_slot` (B, R) turned round."""
    return GLOBAL_SHARE * texts @ image.T + (1 - GLOBAL_SHARE) * best.T


def public_softened_matching(english: Tensor, best: Tensor, target: Tensor) -> Tensor:
    """L_soft as the repository has it: rows of the teacher's second part are pictures where those of the first are texts.

    Both parts are scaled to 0 ... 1 over the whole batch, neither side has a temperature, one direction only.

    Args:
        english, target: (R, R) global similarities, texts in rows, pictures in columns.
        best: (R, R) slot similarities with English, pictures in rows, texts in columns.
    """
    teacher = GLOBAL_SHARE * _scaled(english) + (1 - GLOBAL_SHARE) * _scaled(best)
    return _divergence(teacher.softmax(dim=1).detach(), target)


def _scaled(x: Tensor) -> Tensor:
    x = x - x.min()
    return x / x.max().clamp_min(1e-12)


def _divergence(teacher: Tensor, student_logits: Tensor) -> Tensor:
    return functional.kl_div(student_logits.log_softmax(dim=1), teacher, reduction="batchmean")


def slots_and_patches(slots: Tensor, patches: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """L_cv: a picture's own slots resemble its patches more than other pictures' slots do; one row per picture, both directions.

    The similarity of slots b and patches k is the mean of all their cosines, which is the product of their mean vectors.

    Args:
        slots: (B, n, d), not normalised.
        patches, mask: (B, N, d), not normalised, and (B, N), True on tokens.
        temperature: of the softmax.
    """
    similar = unit(slots).mean(dim=1) @ _mean(unit(patches), mask).T
    return matching(similar / temperature)


def public_slots_and_patches(slots: Tensor, patches: Tensor, mask: Tensor) -> Tensor:
    """L_cv as the repository has it: every feature normalised over the tokens, no temperature, slots to patches only."""
    slots = functional.normalize(slots, dim=1)
    patches = functional.normalize(patches * mask[..., None], dim=1)
    similar = slots.mean(dim=1) @ _mean(patches, mask).T
    return functional.cross_entropy(similar, torch.arange(len(slots), device=slots.device))


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    share = mask.to(tokens.dtype) / mask.sum(dim=1, keepdim=True)
    return torch.einsum("bk,bkd->bd", share, tokens)


def apart(slots: Tensor, public: bool = False) -> Tensor:
    """L_reg keeps the slots (B, n, d) of a picture apart: mean over all n x n pairs of the squared cosine, own pairs counting 0.

    `public` takes the cosine as it is, which rewards slots that are opposite.
    """
    cosine = unit(slots) @ unit(slots).transpose(1, 2)
    cosine = cosine - torch.diag_embed(torch.diagonal(cosine, dim1=1, dim2=2))
    return (cosine if public else cosine**2).mean()
