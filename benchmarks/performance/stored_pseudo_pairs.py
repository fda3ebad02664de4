"""uCLIP on stored pseudo-pairs beside recomputing them in every step, as its paper does: losses, time and memory of an epoch.

    python benchmarks/performance/stored_pseudo_pairs.py --bank 200000

Both sides train the same heads on the same batches with the same noise; one looks pseudo-pairs up, the other retrieves them
softly from both banks in every step (torch, float32, as a training script would). Steps of the two alternate, so that other work
on the machine meets both. Vectors are drawn around 500 centres, so that the softmax is peaked. Memory is what the banks and the
peak of a step take, in a process that holds nothing else.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mella_retrieval.adapters.gradient import noisy, seeded
from mella_retrieval.adapters.methods.uclip import Heads, UClipConfig, build_heads, uclip_loss
from mella_retrieval.embeddings.pseudo_pairs import TEMPERATURE, soft_retrieve

TEXT_DIM, IMAGE_DIM = 384, 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=int, default=200_000)
    parser.add_argument("--sentences", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--memory", choices=("stored", "recomputed"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        _memory(arguments.memory, arguments.bank, arguments.batch)
        return
    vectors = _Vectors(arguments.bank, arguments.sentences)
    started = time.perf_counter()
    images = torch.from_numpy(soft_retrieve(vectors.clip, vectors.images))
    texts = torch.from_numpy(soft_retrieve(vectors.english, vectors.texts))
    once = time.perf_counter() - started
    trainings = {
        "stored": _Training(vectors, lambda rows: (images[rows], texts[rows])),
        "recomputed": _Training(vectors, vectors.retrieve),
        "recomputed in float64": _Training(vectors, lambda rows: vectors.retrieve(rows, torch.float64)),
    }
    times = dict.fromkeys(trainings, 0.0)
    worst = dict.fromkeys(trainings, 0.0)
    for training in (_Training(vectors, lambda rows: (images[rows], texts[rows])), _Training(vectors, vectors.retrieve)):
        training.step(torch.arange(arguments.batch))  # the first step of a process also loads code
    for rows in torch.arange(arguments.sentences).split(arguments.batch):
        losses = {}
        for name, training in trainings.items():
            started = time.perf_counter()
            losses[name] = training.step(rows)
            times[name] += time.perf_counter() - started
        for name, loss in losses.items():
            worst[name] = max(worst[name], abs(loss - losses["stored"]))
        print("loss " + ", ".join(f"{loss:.6f} ({name})" for name, loss in losses.items()), flush=True)
    print(f"banks of {arguments.bank:,}, {arguments.sentences:,} sentences, batches of {arguments.batch}")
    print(f"an epoch: stored {times['stored']:.2f} s, recomputed {times['recomputed']:.2f} s: "
          f"{times['recomputed'] / times['stored']:.0f} times; making the stored ones once: {once:.1f} s")  # fmt: skip
    for name in ("recomputed", "recomputed in float64"):
        print(f"largest difference of a loss, stored and {name}: {worst[name]:.1e}")
    for name in ("stored", "recomputed"):
        for bank in (arguments.bank // 10, arguments.bank):
            command = [sys.executable, __file__, "--memory", name, "--bank", str(bank), "--batch", str(arguments.batch)]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            print(f"memory beyond the heads' own, {name}, bank of {bank:,}: {found} MiB")


class _Vectors:
    """English sentences in both text towers, and both banks; all L2-normalised float32."""

    def __init__(self, bank: int, sentences: int) -> None:
        generator = np.random.default_rng(0)
        self.english, self.texts = _around(sentences, bank, TEXT_DIM, generator)
        self.clip, self.images = _around(sentences, bank, IMAGE_DIM, generator)
        self.banks = torch.from_numpy(self.images), torch.from_numpy(self.texts)

    def retrieve(self, rows: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Soft retrieval from both banks, dense."""
        found = []
        for queries, bank in zip((self.clip, self.english), self.banks, strict=True):
            wide = bank.to(dtype)
            weights = (torch.from_numpy(queries)[rows].to(dtype) @ wide.T / TEMPERATURE).softmax(dim=1)
            found.append(functional.normalize(weights @ wide, dim=1).float())
        return found[0], found[1]


def _around(sentences: int, bank: int, dim: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    centres = generator.standard_normal((500, dim), dtype=np.float32)
    sides = []
    for count in (sentences, bank):
        side = centres[generator.integers(500, size=count)] + generator.standard_normal((count, dim), dtype=np.float32)
        sides.append(side / np.linalg.norm(side, axis=1, keepdims=True))
    return sides[0], sides[1]


class _Training:
    """uCLIP's heads and steps; where its pseudo-pairs come from is the only difference."""

    def __init__(self, vectors: _Vectors, pseudo: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._config = UClipConfig(shared_norm=True)
        heads = seeded(lambda: build_heads(TEXT_DIM, IMAGE_DIM, self._config), self._generator)
        assert isinstance(heads, Heads)
        self._heads = heads
        self._optimiser = torch.optim.AdamW(heads.parameters(), lr=1e-3)
        self._sides = torch.from_numpy(vectors.clip), torch.from_numpy(vectors.english)
        self.pseudo = pseudo

    def step(self, rows: Tensor) -> float:
        """One step; its loss."""
        images, texts = self.pseudo(rows)
        sides = (self._sides[0][rows], self._sides[1][rows], images, texts)
        t, e, v, m = (noisy(side, self._config.noise, self._generator) for side in sides)
        loss = uclip_loss(self._heads, (t, e, v, m), self._config)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return loss.item()


def _memory(name: str, bank: int, batch: int) -> None:
    """Print how many MiB the banks and the peak of a step take in this process (the second step: the first also loads code)."""
    vectors = _Vectors(10 * batch, batch)
    images, texts = torch.from_numpy(vectors.clip.copy()), torch.from_numpy(vectors.english.copy())
    training = _Training(vectors, lambda rows: (images[rows], texts[rows]))
    training.step(torch.arange(batch))
    before = _peak()
    if name == "recomputed":
        vectors.banks = tuple(torch.ones(bank, dim) for dim in (IMAGE_DIM, TEXT_DIM))
        training.pseudo = vectors.retrieve
    training.step(torch.arange(batch))
    print(f"{_peak() - before:.0f}")


def _peak() -> float:
    """Peak memory of this process in MiB. (`ru_maxrss` would be that of the process that started it.)"""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    main()
