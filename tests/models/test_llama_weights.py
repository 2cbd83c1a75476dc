"""llama2.c's checkpoints: a real small model says what it says elsewhere, and a file that is damaged is named."""

import json

import numpy as np
import pytest

import minillm as ml
from minillm.errors import CheckpointError
from minillm.models import GPT, GPTConfig, load_llama2c
from minillm.tokenizers import SentencePieceTokenizer
from tests.data_files import real_file

LLAMA = {"bias": False, "normalization": "rms_norm", "activation": "swiglu", "position": "rotary"}
ORDER = [  # of llama2.c's legacy format
    "layers.{}.attention.norm.weight",
    "layers.{}.attention.sublayer.query.weight",
    "layers.{}.attention.sublayer.key.weight",
    "layers.{}.attention.sublayer.value.weight",
    "layers.{}.attention.sublayer.output.weight",
    "layers.{}.feed_forward.norm.weight",
    "layers.{}.feed_forward.sublayer.gate.weight",
    "layers.{}.feed_forward.sublayer.down.weight",
    "layers.{}.feed_forward.sublayer.up.weight",
]


@pytest.fixture(scope="module")
def reference():
    return json.loads(real_file("stories260K/reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stories():
    return load_llama2c(real_file("stories260K/stories260K.bin"))


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_real_models_greedy_tokens_are_reproduced(stories, reference, use_cache):
    prompt, wanted = reference["prompt_ids"], reference["first_greedy_ids"]
    new = stories.generate(prompt, len(wanted) - len(prompt), temperature=0, use_cache=use_cache)
    assert prompt + new.tolist() == wanted


def test_a_real_model_continues_a_prompt_in_english(stories, reference):
    tokenizer = SentencePieceTokenizer.from_llama2c(real_file("stories260K/tok512.bin"))
    assert tokenizer.decode(reference["first_greedy_ids"][1:]).startswith("Once upon a time, there was a little girl")
    prompt = tokenizer.encode("<s>Once upon a time, there was a", {"<s>"})
    assert prompt == reference["first_greedy_ids"][: len(prompt)]
    text = tokenizer.decode([*prompt, *stories.generate(prompt, 5, temperature=0).tolist()])
    assert text.startswith("<s>Once upon a time, there was a little girl")


def test_a_real_models_loss_on_its_own_kind_of_text_is_far_below_chance(stories):
    tokenizer = SentencePieceTokenizer.from_llama2c(real_file("stories260K/tok512.bin"))
    text = "<s>Once upon a time, there was a little boy named Tim. He had a red ball. He liked to play with the ball."
    ids = np.array([tokenizer.encode(text, "all")])
    with ml.no_grad():
        loss = stories.loss(ids[:, :-1], ids[:, 1:]).item()
    assert loss < 2 < np.log(512)


def write(path, model, tied=True):
    """llama2.c's legacy format, written by its description; the tables of angles are zeros, which nobody reads."""
    config, state = model.config, model.state_dict()
    header = [config.d_model, config.d_ff, config.n_layer, config.n_head, config.n_kv_head or config.n_head]
    header += [config.vocab_size if tied else -config.vocab_size, config.context_length]
    arrays = [state["token_embedding.weight"]]
    arrays += [state[name.format(n)] for name in ORDER for n in range(config.n_layer)]
    arrays += [state["norm.weight"], np.zeros((2, config.context_length, config.d_model // config.n_head // 2))]
    arrays += [] if tied else [state["head.weight"]]
    path.write_bytes(np.array(header, "<i4").tobytes() + b"".join(a.astype("<f4").tobytes() for a in arrays))
    return path


def small(**options):
    ml.seed(0)
    sizes = {"vocab_size": 11, "context_length": 6, "n_layer": 3, "n_head": 4, "d_model": 16, "d_ff": 20}
    return GPT(GPTConfig(**{**sizes, "n_kv_head": 2, **LLAMA, **options}))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_every_array_goes_to_its_place(tmp_path, tied, kv_heads):
    model = small(tie_weights=tied, n_kv_head=kv_heads)
    loaded = load_llama2c(write(tmp_path / "model.bin", model, tied))
    assert loaded.config == model.config
    assert not loaded.training
    state = loaded.state_dict()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_in_float64_the_weights_are_the_files(tmp_path):
    loaded = load_llama2c(write(tmp_path / "model.bin", small()), dtype="float64")
    assert loaded.norm.weight.dtype == loaded.head.weight.dtype == np.float64
    np.testing.assert_array_equal(loaded.head.weight.numpy(), small().head.weight.numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], r"has \d+ bytes, but its header asks for \d+"),
        (lambda data: data + b"\0\0\0\0", r"has \d+ bytes, but its header asks for \d+"),
        (lambda data: data[:20], "isn't llama2.c's legacy format"),
        (lambda data: b"24ka" + data[4:], "isn't llama2.c's legacy format"),
        (lambda data: np.array([16, 20, 3, 3], "<i4").tobytes() + data[16:], "no model has these sizes.*'n_heads': 3"),
        (lambda data: np.array([16, 0], "<i4").tobytes() + data[8:], "no model has these sizes.*'hidden_dim': 0"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, change, message):
    path = write(tmp_path / "model.bin", small())
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match=rf"model\.bin.*{message}"):
        load_llama2c(path)
