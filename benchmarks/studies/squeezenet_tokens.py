"""SqueezeNet with its tokens: `module:squeezenet_tokens:SqueezeNetTokens?weights=PATH`."""

from __future__ import annotations

import torch
from squeezenet import SqueezeNet


class SqueezeNetTokens(SqueezeNet):
    """Beside the pooled vector the 13 x 13 vectors it is made from, row by row from the top; there is no class token."""

    def encode_with_tokens(self, batch: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(n, 3, 224, 224) -> (n, 512) and n times (169, 512)."""
        tokens = self.model.features(batch).flatten(2).transpose(1, 2)
        return tokens.mean(dim=1).sqrt(), list(tokens)
