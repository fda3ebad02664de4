from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.published import read_published
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.errors import ConfigError


@pytest.fixture(scope="module")
def rows():
    return read_published(load_task("xm3600"), "first")


def mean(rows, model, protocol, direction, metric="R@10", languages=("cs", "fi", "hr", "hu", "ro")):
    values = [r.value for r in rows if (r.model, r.protocol, r.direction, r.metric) == (model, protocol, direction, metric)
              and r.language in languages]  # fmt: skip
    assert len(values) == len(languages)
    return round(100 * float(np.mean(values)), 1)


@pytest.mark.parametrize(
    ("model", "protocol", "t2i", "i2t"),
    [
        ("ViT-B-32/datacomp_xl_s13b_b90k", "first", 10.2, 16.4),
        ("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", "first", 83.5, 87.3),
        ("jinaai/jina-clip-v2", "all-dedup", 86.8, 92.5),
        ("M-CLIP/XLM-Roberta-Large-Vit-B-16Plus", "all-dedup", 90.3, 95.0),
        ("nllb-clip-large-siglip/mrl", "first", 94.1, 93.4),
    ],
)
def test_xm3600__means_that_are_known(rows, model, protocol, t2i, i2t):
    assert mean(rows, model, protocol, "t2i") == t2i
    assert mean(rows, model, protocol, "i2t") == i2t


def test_xm3600__same_protocol_is_comparable_and_no_other(rows):
    assert {row.protocol for row in rows if row.comparable} == {"first"}
    assert {row.protocol for row in rows if not row.comparable} == {"all", "all-hit", "all-dedup"}


def test_xm3600__rows_of_the_harness_that_did_not_normalise_are_left_out(rows):
    assert not [row for row in rows if row.protocol == "all-hit" and row.model.startswith("M-CLIP/")]


def test_xm3600__every_number_is_a_fraction_with_a_source(rows):
    assert all(0 <= row.value <= 1 and row.source for row in rows)


def test_read_published__a_copy_of_the_recipe_with_other_counts_is_another_test_set():
    smaller = load_task("xm3600", ["images=10"])
    found = read_published(smaller, "first")
    assert found
    assert not [row for row in found if row.comparable]
    assert all(row.note.startswith("on another test set") for row in found)


def test_read_published__task_without_any():
    assert read_published(load_task("pocket"), "first") == []


def test_read_published__errors_name_the_line(tmp_path):
    task = load_task("xm3600")
    header = "protocol,model,language,t2i_r1,t2i_r5,t2i_r10,i2t_r1,i2t_r5,i2t_r10\n"
    (tmp_path / "xm3600-models.csv").write_text("protocol,model,source,note\nfirst,a,paper,\n")
    (tmp_path / "xm3600.csv").write_text(header + "first,a,cs,1,2,x,,,\n")
    with pytest.raises(ConfigError, match="line 2: 'x' is not a number"):
        read_published(task, "first", tmp_path)
    (tmp_path / "xm3600.csv").write_text(header + "first,b,cs,1,2,3,,,\n")
    with pytest.raises(ConfigError, match="line 2: the model 'b' has no source"):
        read_published(task, "first", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_published(task, "first", tmp_path / "nowhere")
