from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.protocols import PROTOCOLS, Captions, get_protocol
from mella_retrieval.errors import ConfigError, DataError


def captions(images):
    return Captions(np.array(images), [f"text {at}" for at in range(len(images))], [f"id {at}" for at in range(len(images))])


def test_all_hit__every_caption_with_its_image():
    found = PROTOCOLS["all-hit"].select(captions([2, 0, 2, 1]))
    assert found.captions.tolist() == [0, 1, 2, 3]
    assert found.text_index.tolist() == [0, 1, 2, 3]
    assert found.image_index.tolist() == [2, 0, 2, 1]


def test_first__first_caption_of_each_image_in_the_order_of_the_test_set():
    found = PROTOCOLS["first"].select(captions([2, 0, 2, 1, 0]))
    assert found.captions.tolist() == [0, 1, 3]
    assert found.text_index.tolist() == [0, 1, 2]
    assert found.image_index.tolist() == [2, 0, 1]


def test_all__selects_as_all_hit_and_reports_what_mteb_does():
    asked, same = PROTOCOLS["all"].select(captions([2, 0, 2])), PROTOCOLS["all-hit"].select(captions([2, 0, 2]))
    assert asked.captions.tolist() == same.captions.tolist()
    assert asked.image_index.tolist() == same.image_index.tolist()
    assert PROTOCOLS["all"].headline == "nDCG@10"
    assert {"recall@10", "hit rate@1000"} <= set(PROTOCOLS["all"].metrics)


def test_all_dedup__a_text_once_per_image_and_all_its_images_are_relevant():
    texts = ["a dog", "a dog", "a cat", "a dog", "a bird"]  # the first image has its text twice, the second shares it
    found = PROTOCOLS["all-dedup"].select(Captions(np.array([4, 4, 4, 1, 2]), texts, list("abcde")))
    assert found.captions.tolist() == [0, 2, 3, 4]
    pairs = set(zip(found.text_index.tolist(), found.image_index.tolist(), strict=True))
    assert pairs == {(0, 4), (0, 1), (1, 4), (2, 4), (2, 1), (3, 2)}


def test_keywords__a_text_once_and_all_its_images_are_relevant():
    found = PROTOCOLS["keywords"].select(Captions(np.array([4, 1, 4, 2]), ["food", "food", "soup", "dog"], list("abcd")))
    assert found.captions.tolist() == [0, 2, 3]
    assert set(zip(found.text_index.tolist(), found.image_index.tolist(), strict=True)) == {(0, 4), (0, 1), (1, 4), (2, 2)}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol__has_a_name_and_takes_no_captions(name):
    assert get_protocol(name).name == name
    assert get_protocol(name).select(captions(np.zeros(0, int))).captions.size == 0


def test_get_protocol__unknown_name_suggests():
    with pytest.raises(ConfigError, match="Did you mean 'all-hit'"):
        get_protocol("all_hit")


def test_captions__lengths_must_agree():
    with pytest.raises(DataError, match="2 images, 1 texts"):
        Captions(np.array([0, 1]), ["a"], ["x", "y"])
