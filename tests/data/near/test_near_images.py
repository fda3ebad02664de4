"""Near-duplicate pictures: what must count as one picture, what must not, and pairs against brute force."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import cropped, photo, recompressed, tricolour
from PIL import Image, ImageOps

from mella_retrieval.data.images import read_image
from mella_retrieval.data.near.images import FLAT, SeenImages, hamming, image_matches, image_pairs, perceptual_hash


def distance(first: Image.Image, second: Image.Image) -> int:
    hashes = perceptual_hash(first), perceptual_hash(second)
    assert FLAT not in hashes
    return (hashes[0] ^ hashes[1]).bit_count()


def test_the_hash_is_that_of_imagehash():
    for seed in range(5):
        assert f"{perceptual_hash(photo(seed)):016x}" == str(imagehash.phash(photo(seed)))


@pytest.mark.parametrize("seed", range(8))
def test_a_picture_stays_itself_when_it_is_rescaled_recompressed_or_cropped(seed: int):
    original = photo(seed)
    assert distance(original, original.resize((160, 120))) <= 4
    assert distance(original, recompressed(original, 30)) <= 4
    assert distance(original, original.convert("L")) <= 4
    assert distance(original, cropped(original, 0.02)) <= 6


@pytest.mark.parametrize("seed", range(4))
def test_mirrored_turned_and_other_pictures_are_others(seed: int):
    original = photo(seed)
    assert distance(original, ImageOps.mirror(original)) > 16
    assert distance(original, original.rotate(180)) > 16
    assert distance(original, photo(seed + 100)) > 16


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (50, 40), "red"),
        Image.new("L", (1, 1)),
        recompressed(Image.new("RGB", (300, 200), "white"), 20),
        Image.linear_gradient("L"),
        Image.radial_gradient("L"),
        tricolour("red", "white", "green"),
        recompressed(tricolour("black", "red", "gold"), 40),
    ],
    ids=["red", "one pixel", "white JPEG", "gradient", "disc", "flag", "flag as JPEG"],
)
def test_pictures_with_too_little_in_them_have_no_hash(picture: Image.Image):
    assert perceptual_hash(picture) == FLAT


@pytest.mark.real
def test_photographs_keep_their_hash_and_differ_from_one_another(shared: Path):
    files = sorted((shared / "flickr8k-photos" / "images").iterdir())[:40]
    photos = [read_image(file) for file in files]
    hashes = np.array([perceptual_hash(image) for image in photos], dtype=np.uint64)
    assert (hashes != FLAT).all()
    assert len(image_pairs(hashes, 6)) == 0
    small = [perceptual_hash(recompressed(image.resize((image.width // 2, image.height // 2)), 30)) for image in photos]
    assert hamming(hashes, np.array(small, dtype=np.uint64)).max() <= 4


def brute_force(hashes: list[int], near: int) -> set[tuple[int, int]]:
    """All pairs of different hashes by their first holders, and each repeat with its first holder."""
    first = {value: number for number, value in reversed(list(enumerate(hashes)))}
    pairs = {(first[value], number) for number, value in enumerate(hashes) if value != FLAT and first[value] != number}
    distinct = [(value, number) for value, number in first.items() if value != FLAT]
    close = {(i, j) for a, i in distinct for b, j in distinct if i < j and (a ^ b).bit_count() <= near}
    return pairs | close


@st.composite
def crowded_hashes(draw: st.DrawFn) -> list[int]:
    """Hashes in clusters: a few centres, with some bits turned."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    turned = st.sets(st.integers(0, 63), max_size=6).map(lambda bits: sum(1 << bit for bit in bits))
    members = draw(st.lists(st.tuples(st.sampled_from(centres), turned), max_size=25))
    return [centre ^ bits for centre, bits in members] + draw(st.lists(st.just(FLAT), max_size=2))


@settings(max_examples=60, deadline=None)
@given(crowded_hashes(), st.integers(0, 12))
def test_pairs_are_exactly_those_of_brute_force(hashes: list[int], near: int):
    found = image_pairs(np.array(hashes, dtype=np.uint64), near)
    assert found.shape == (len(found), 2)
    assert [tuple(pair) for pair in found.tolist()] == sorted(brute_force(hashes, near))


@settings(max_examples=40, deadline=None)
@given(crowded_hashes(), crowded_hashes(), st.integers(0, 8))
def test_matches_are_the_closest_of_the_other_collection(own: list[int], others: list[int], near: int):
    others = others + [value ^ 5 for value in own[:3]]
    found = image_matches(np.array(own, dtype=np.uint64), np.array(others, dtype=np.uint64), near)
    for value, match in zip(own, found.tolist(), strict=True):
        distances = [(value ^ other).bit_count() if FLAT not in (value, other) else 65 for other in others]
        best = min(distances, default=65)
        assert match == (distances.index(best) if best <= near else -1)


def test_many_hashes_take_more_blocks_and_give_the_same_pairs():
    rng = np.random.default_rng(0)
    hashes = rng.integers(1, 2**63, 60_000, dtype=np.uint64)
    planted = hashes[:500] ^ np.uint64(1 << 3 | 1 << 20 | 1 << 41)
    found = image_pairs(np.concatenate([hashes, planted]), 3)
    assert found.tolist() == [[number, 60_000 + number] for number in range(500)]


def test_seen_pictures_name_the_closest_earlier_one_and_forget_duplicates():
    seen = SeenImages(2)
    assert seen.seen(0b1111 << 32) is None
    assert seen.seen(FLAT) is None
    assert seen.seen(FLAT) is None
    assert seen.seen(0b1111 << 32 | 1) == 0
    assert seen.seen(0b1111 << 32 | 0b111) is None  # near the duplicate, which was not kept
    assert seen.seen(0b1111 << 32 | 0b11) == 4


@settings(max_examples=40, deadline=None)
@given(crowded_hashes(), st.integers(0, 6))
def test_seen_pictures_are_those_of_brute_force(hashes: list[int], near: int):
    seen, kept = SeenImages(near), []
    for number, value in enumerate(hashes):
        close = [((value ^ other).bit_count(), earlier) for earlier, other in kept if value != FLAT]
        close = [pair for pair in close if pair[0] <= near]
        assert seen.seen(value) == (min(close)[1] if close else None)
        if value != FLAT and not close:
            kept.append((number, value))


def test_a_useless_distance_is_refused():
    with pytest.raises(ValueError, match="0 to 16"):
        SeenImages(17)
