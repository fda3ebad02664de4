from pathlib import Path

import pytest

from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("open_clip:ViT-B-32/datacomp_xl_s13b_b90k", "open_clip:ViT-B-32/datacomp_xl_s13b_b90k"),
        ("open_clip:ViT-B-32//weights/b32.safetensors", "open_clip:ViT-B-32//weights/b32.safetensors"),
        ("open_clip:hf-hub:org/name", "open_clip:hf-hub:org/name"),
        ("open_clip:local-dir:/models/a/", "open_clip:local-dir:/models/a"),
        ("open_clip:/models/a", "open_clip:local-dir:/models/a"),
        ("open_clip:./a", "open_clip:local-dir:./a"),
        ("transformers:./a/", "transformers:./a"),
        ("transformers:../a", "transformers:../a"),
        (" transformers:google/siglip2-base-patch16-256 ", "transformers:google/siglip2-base-patch16-256"),
        ("transformers:/models//a/", "transformers:/models/a"),
        ("sentence-transformers:LaBSE", "sentence-transformers:LaBSE"),
        ("module:my.towers:Squeeze?power=0.5&name=a b", "module:my.towers:Squeeze?name=a%20b&power=0.5"),
        ("sentence-transformers:e5?prefix=query: ", "sentence-transformers:e5?prefix=query:%20"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    spec = EncoderSpec.parse(text)
    assert str(spec) == canonical
    assert EncoderSpec.parse(str(spec)) == spec


def test_values_survive_their_quoting() -> None:
    spec = EncoderSpec("sentence-transformers", "x", (("prefix", "a&b=c?%d: "),))
    assert EncoderSpec.parse(str(spec) + "&max_length=8").options == {"prefix": "a&b=c?%d: ", "max_length": "8"}


def test_home_is_expanded() -> None:
    assert EncoderSpec.parse("transformers:~/clip").name == str(Path.home() / "clip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ViT-B-32", "does not start with the kind"),
        ("openclip:ViT-B-32/openai", "Did you mean 'open_clip'"),
        ("open_clip:", "names no model"),
        ("transformers:x?revison=abc", "Did you mean 'revision'"),
        ("transformers:x?prefix", "not of the form key=value"),
        ("transformers:x?prefix=a&prefix=b", "stands twice"),
        ("open_clip:ViT-B-32/openai?max_length=20", "unknown option 'max_length'"),
        ("module:not a class", "module:package.module:Class"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncoderSpec.parse(text)


def test_model_leaves_out_text_preparation_only() -> None:
    spec = EncoderSpec.parse("transformers:org/name?prefix=a&revision=main")
    assert str(spec.model) == "transformers:org/name?revision=main"
    assert spec.text_options == {"prefix": "a"}


def test_located__makes_folders_of_this_machine_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    absolute = str(tmp_path.resolve() / "models" / "mine")
    assert EncoderSpec.parse("sentence-transformers:models/mine").located().name == absolute
    assert EncoderSpec.parse("open_clip:./models/mine").located().name == f"local-dir:{absolute}"
    assert EncoderSpec.parse("transformers:org/name").located().name == "org/name"
    assert EncoderSpec.parse("module:models.mine:Class").located().name == "models.mine:Class"
