"""tokenizer.json files of the tokenizers library: the same ids, or a refusal that says why."""

import json

import pytest

from minillm.errors import TokenError
from minillm.tokenizers import BPETokenizer
from tests.tokenizers.conftest import CHINESE, END, ENGLISH, random_texts

GPT4_LIKE = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level(**options):
    tokenizers = pytest.importorskip("tokenizers")
    return tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, **options)


def split(behavior="isolated", invert=False):
    tokenizers = pytest.importorskip("tokenizers")
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(GPT4_LIKE), behavior, invert)
    return tokenizers.pre_tokenizers.Sequence([cut, byte_level(use_regex=False)])


def trained(pre_tokenizer):
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = pre_tokenizer
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END],
        show_progress=False,
    )
    theirs.train_from_iterator([ENGLISH, CHINESE], trainer)
    return theirs


@pytest.mark.parametrize("pre_tokenizer", [byte_level, split, lambda: split("removed", True)])
def test_ids_are_the_library_s(tmp_path, pre_tokenizer):
    theirs = trained(pre_tokenizer())
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = BPETokenizer.from_huggingface(tmp_path / "tokenizer.json")
    for text in [ENGLISH, CHINESE, *random_texts(300, 5)]:
        assert ours.encode(text) == theirs.encode(text).ids
    assert ours.encode(f"a{END}b", "all") == theirs.encode(f"a{END}b").ids


def test_ignore_merges(tmp_path):
    """A token that no merges lead to, as a chunk of its own: with ignore_merges it is that token."""
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: i for i, character in enumerate(alphabet)} | {"cat": 256}
    for ignore in (False, True):
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [], ignore_merges=ignore))
        theirs.pre_tokenizer = byte_level()
        theirs.save(str(tmp_path / "tokenizer.json"))
        ours = BPETokenizer.from_huggingface(tmp_path / "tokenizer.json")
        assert ours.encode("cat cats") == theirs.encode("cat cats").ids
        assert (256 in ours.encode("cat")) == ignore
        ours.save(tmp_path / "ours.json")
        assert BPETokenizer.load(tmp_path / "ours.json").encode("cat cats") == ours.encode("cat cats")


@pytest.fixture
def written(tmp_path):
    """A tokenizer.json to change: the function saves it with the changes and reads it."""

    def read(model=None, **changes):
        theirs = json.loads(trained(byte_level()).to_str())
        theirs["model"].update(model or {})
        (tmp_path / "tokenizer.json").write_text(json.dumps(theirs | changes), encoding="utf-8")
        return BPETokenizer.from_huggingface(tmp_path / "tokenizer.json")

    return read


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
NO_REGEX = BYTE_LEVEL | {"use_regex": False}
SPLIT = {"type": "Split", "pattern": {"Regex": GPT4_LIKE}, "behavior": "Isolated", "invert": False}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "WordPiece"}}, "WordPiece model; only byte-level BPE"),
        ({"pre_tokenizer": None}, "only byte-level BPE"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "only byte-level BPE"),
        ({"normalizer": {"type": "NFC"}}, "the normalizer NFC"),
        ({"model": {"dropout": 0.1}}, r"dropout=0\.1"),
        ({"model": {"byte_fallback": True}}, "byte_fallback=True"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "end_of_word_suffix='</w>'"),
        ({"pre_tokenizer": BYTE_LEVEL | {"add_prefix_space": True}}, "add_prefix_space=true"),
        ({"pre_tokenizer": NO_REGEX}, "use_regex=false without a Split"),
        ({"pre_tokenizer": sequence(SPLIT, BYTE_LEVEL)}, r"Split \+ ByteLevel with use_regex=true"),
        ({"pre_tokenizer": sequence(SPLIT, SPLIT, NO_REGEX)}, r"Split \+ Split \+ ByteLevel"),
        ({"pre_tokenizer": sequence({"type": "Digits"}, NO_REGEX)}, "Digits without an expression"),
        ({"pre_tokenizer": sequence(SPLIT | {"behavior": "Removed"}, NO_REGEX)}, "Removed with invert=False"),
        ({"pre_tokenizer": sequence(SPLIT | {"pattern": {"String": "a"}}, NO_REGEX)}, "without an expression"),
        ({"pre_tokenizer": sequence(SPLIT | {"pattern": {"Regex": "("}}, NO_REGEX)}, "split pattern"),
        ({"pre_tokenizer": sequence(SPLIT | {"pattern": {"Regex": 5}}, NO_REGEX)}, "as the tokenizers library writes"),
        ({"model": {"merges": [["a"]]}}, "a merge that doesn't fit"),
        ({"model": {"merges": 5}}, "as the tokenizers library writes"),
        ({"model": {"vocab": {"a": 0, "b": 0}}}, "each token's its own"),
        ({"model": {"vocab": {"a": 1}, "merges": []}}, "of the 256 single bytes"),
        ({"model": {"vocab": {"€": 1}, "merges": []}}, "a token or a merge that doesn't fit"),
    ],
)
def test_what_would_give_other_ids_is_refused(written, changes, message):
    with pytest.raises(TokenError, match=message) as raised:
        written(**changes)
    assert "tokenizer.json" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"model": {}}', b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_tokenizer_json(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenError, match=r"tokenizer\.json"):
        BPETokenizer.from_huggingface(tmp_path / "tokenizer.json")
