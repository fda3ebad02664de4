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
