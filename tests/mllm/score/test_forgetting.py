"""Words on drawn signs."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.mllm.score.forgetting import CHANCE, WORDS, Signs, draw_signs, read_signs, says, signs_digest

SIGNS = Signs(pairs=4, side=160)


def test_signs_are_drawn_the_same_again_and_show_their_word():
    signs = draw_signs(SIGNS)
    assert signs_digest(signs) == signs_digest(draw_signs(SIGNS)) != signs_digest(draw_signs(Signs(pairs=4, side=160, seed=1)))
    assert len(signs) == 8 and len({sign.word for sign in signs}) == 8 <= len(set(WORDS)) == len(WORDS)
    for sign in signs:
        pixels = np.asarray(sign.image)
        assert pixels.shape == (160, 160, 3) and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3  # background, board, letters
        assert np.array_equal(pixels[0, 0], pixels[-1, -1])  # the board lies inside


def test_every_question_is_asked_of_a_picture_with_the_word_and_of_one_without():
    for sign in draw_signs(SIGNS):
        assert [sign.word in prompt for prompt in sign.prompts] == list(sign.right)
        assert sorted(sign.right) == [False, True]


@pytest.mark.parametrize(
    ("answer", "said"),
    [("Yes", True), (" yes, it is.", True), ("**No**", False), ("NO!", False), ("Not at all", None), ("yesterday", None),
     ("igen", None), ("", None), ("The word is yes", None)],
)  # fmt: skip
def test_yes_and_no(answer: str, said: bool | None):
    assert says(answer) is said


def test_readings_by_hand():
    signs = draw_signs(SIGNS)
    right = {
        (one.image_id, prompt): "Yes." if is_it else "No."
        for one in signs
        for prompt, is_it in zip(one.prompts, one.right, strict=True)
    }
    found = read_signs(signs, right)
    assert found.scores.tolist() == [[100, 100]] * 4 and found.unclear == 0
    always = read_signs(signs, dict.fromkeys(right, "Yes"))
    assert always.scores.tolist() == [[50, 0]] * 4
    one_wrong = {**right, (signs[0].image_id, signs[0].prompts[0]): "no"}
    assert read_signs(signs, one_wrong).scores.tolist() == [[75, 50], *[[100, 100]] * 3]
    assert read_signs(signs, {}).unclear == 16 and read_signs(signs, {}).scores.sum() == 0


def test_guessing_reaches_chance():
    signs = draw_signs(Signs(pairs=51))
    generator = np.random.default_rng(0)
    means = np.mean(
        [
            read_signs(
                signs, {(one.image_id, prompt): generator.choice(["yes", "no"]) for one in signs for prompt in one.prompts}
            ).scores.mean(axis=0)
            for _ in range(20)
        ],
        axis=0,
    )
    assert means == pytest.approx(list(CHANCE.values()), abs=2)
