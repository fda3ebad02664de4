from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella_retrieval.benchmarks.evaluation import RankedQueries
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.published import Published
from mella_retrieval.benchmarks.report.groups import Block, block, by_resource, by_script, fold
from mella_retrieval.benchmarks.report.naming import shorten, slug, write
from mella_retrieval.benchmarks.report.spread import spread_of_ranks
from mella_retrieval.benchmarks.report.standing import SHOWN, chosen, columns, standings
from mella_retrieval.languages import XM3600


def cell(language, ranks):
    images = tuple(image for image, _ in ranks)
    return RankedQueries("ours", language, "t2i", images, images, Positions.of([rank for _, rank in ranks]))


def test_spread_of_ranks__standard_deviation_of_log2_ranks_over_languages():
    czech = cell("cs", [("even", 4), ("uneven", 1), ("two captions", 1), ("two captions", 16), ("alone", 9)])
    thai = cell("th", [("even", 4), ("uneven", 4), ("two captions", 16)])
    # even: 2, 2 -> 0; uneven: 0, 2 -> 1; two captions: mean(0, 4) = 2 and 4 -> 1; a picture of one language has no spread
    assert spread_of_ranks([czech, thai]).tolist() == [0.0, 1.0, 1.0]
    assert spread_of_ranks([czech]).size == 0


def test_spread_of_ranks__what_rounding_leaves_is_no_spread():
    cells = [cell(code, [("same", 3), ("same", 7), ("same", 11)][::step]) for code, step in (("cs", 1), ("hu", -1), ("th", 1))]
    assert spread_of_ranks(cells).tolist() == [0.0]


def test_by_resource__classes_of_joshi_et_al():
    blocks = {found.title: found.rows for found in by_resource(("en", "th", "sw", "si", "cs"))}
    assert blocks == {
        "High-resource": ("en", "cs"),
        "Middle-resource": ("th",),
        "Low-resource": ("sw",),
        "Resource level unknown": ("si",),
    }


def test_by_script__scripts_of_one_language_stand_together_with_their_names():
    blocks = by_script(("th", "cs", "ar", "hu", "ko", "fa", "sw"))
    assert [(found.title, found.rows) for found in blocks] == [
        ("Latin script", ("cs", "hu", "sw")),
        ("Arabic script", ("ar", "fa")),
        ("Other scripts", ("th", "ko")),
    ]
    assert blocks[-1].labels == ("Thai", "Korean (Hangul)")


def test_blocks__every_language_of_xm3600_once():
    for split in (by_resource, by_script):
        rows = [row for found in split(XM3600) for row in found.rows]
        assert sorted(rows) == sorted(XM3600)


def test_ordered__best_first_and_equal_ones_by_name():
    values = {"cs": 0.1, "hu": 0.9, "th": 0.1}
    found = block("x", ("th", "cs", "hu")).ordered(lambda row: values[row])
    assert found.rows == ("hu", "cs", "th")
    assert found.labels == ("Hungarian", "Czech", "Thai")


@given(st.lists(st.integers(1, 70), min_size=1, max_size=8), st.integers(12, 60))
def test_fold__no_row_is_lost_and_no_part_much_longer(sizes, limit):
    blocks = [Block(f"block {at}", rows := tuple(f"{at}-{row}" for row in range(size)), rows) for at, size in enumerate(sizes)]
    parts = fold(blocks, limit)
    assert [row for part in parts for found in part for row in found.rows] == [row for found in blocks for row in found.rows]
    assert all(part for part in parts)
    height = sum(size + 1 for size in sizes)
    assert len(parts) <= -(-height // limit)
    assert all(sum(len(found.rows) + 1 for found in part) <= limit + 3 for part in parts)
    assert [found.whole for part in parts for found in part if found.whole] == [found.rows for found in blocks]


def rows_of(model, values, *, protocol="all-hit", metric="R@1", way="t2i"):
    return [Published(model, protocol, code, way, metric, value, "", "", protocol == "all-hit") for code, value in values.items()]


@pytest.fixture
def record(make_result):
    return make_result().record


def ours(record, codes, way="t2i"):
    by_code = {s.language: s.value for s in record.scores if (s.system, s.direction, s.metric) == ("ours", way, "R@1")}
    return np.mean([by_code[code] for code in codes])


def test_standings__means_over_the_languages_that_both_have(record):
    rows = rows_of("Partial", {"cs": 0.2, "th": 0.4, "ja": 0.9})
    (found,) = standings(record, rows, ("R@1", "R@10"))
    assert found.languages == ("cs", "th")
    assert found.theirs["t2i", "R@1"] == pytest.approx(0.3)
    assert found.ours["t2i", "R@1"] == pytest.approx(ours(record, ("cs", "th")))


def test_standings__a_mean_without_its_parts_counts_where_we_have_all_of_them(record):
    rows = rows_of("Inside", {"mean(cs,hu)": 0.7}) + rows_of("Outside", {"mean(cs,fi)": 0.8})
    (found,) = standings(record, rows, ("R@1", "R@10"))
    assert found.about.model == "Inside"
    assert found.languages == ("cs", "hu")
    assert found.ours["t2i", "R@1"] == pytest.approx(ours(record, ("cs", "hu")))


def test_standings__a_metric_that_lacks_a_language_has_no_mean(record):
    rows = rows_of("Half", {"cs": 0.2, "hu": 0.4}) + rows_of("Half", {"cs": 0.1}, metric="R@10")
    (found,) = standings(record, rows, ("R@1", "R@10"))
    assert set(found.theirs) == {("t2i", "R@1")}


def test_standings__papers_that_print_only_sum_r_are_kept(record):
    rows = rows_of("Sum", {"cs": 4.1}, metric="sumR", way="both")
    found = standings(record, rows, ("R@1", "R@10"))
    assert columns(found) == [("both", "sumR")]
    assert found[0].theirs["both", "sumR"] == pytest.approx(4.1)


def test_chosen__the_best_and_those_nearest_to_ours(record):
    level = ours(record, ("cs",))
    best = {f"best {at:03d}": 0.999 - at / 10_000 for at in range(SHOWN // 2)}
    near = {f"near {at:03d}": level - at / 10_000 for at in range(SHOWN // 2)}
    far = {f"far {at:03d}": at / 100_000 for at in range(40)}
    rows = [row for model, value in {**best, **near, **far}.items() for row in rows_of(model, {"cs": value})]
    shown = [one.about.model for one in chosen(standings(record, rows, ("R@1",)), ("t2i", "R@1"))]
    assert set(shown) == {*best, *near}
    assert shown[0] == "best 000"


def test_write__percent_and_plain_numbers():
    written = {"R@1": "12.3", "sumR": "12.3", "macro-F1": "12.3", "nDCG@10": "12.3", "MRR": "12.3", "median rank": "0.1"}
    assert {metric: write(0.1234, metric) for metric in written} == written
    assert write(None, "R@1") == "–"
    assert write(12345.67, "rank variance") == "12,345.7"


def test_names__of_files_and_models():
    assert slug("t2i R@10 by food & drink") == "t2i-r-10-by-food-drink"
    assert shorten("a" * 10, 10) == "a" * 10
    assert shorten("xlm-roberta-large-ViT-H-14@frozen", 15) == "xlm-rob…@frozen"
