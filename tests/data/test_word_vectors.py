"""Word vectors: files as they are found, known cosines of GloVe's, and an embedding filled with them."""

import numpy as np
import pytest

import minillm as ml
from minillm.data import Coverage, WordVectors, fill_embedding, read_word_vectors
from minillm.errors import ConfigError, DataError, ShapeError
from minillm.nn import Embedding
from minillm.optim import AdamW
from minillm.tokenizers import BPETokenizer, WordTokenizer
from tests.data_files import real_file


@pytest.fixture(scope="module")
def glove():
    return read_word_vectors(real_file("glove.6B.100d.top20k.txt"))


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---- reading ----


def test_a_word_may_have_spaces_and_be_chinese(tmp_path):
    """As in glove.840B, where ". . ." and "at name@domain.com" are words."""
    text = "the 1 2 3\n. . . 4 5 6\n猫 -1 2e-1 .5\n1 2 7 8 9\na\u2028b 0 0 1"
    found = read_word_vectors(write(tmp_path / "v.txt", text))
    assert found.words == ["the", ". . .", "猫", "1 2", "a\u2028b"]
    np.testing.assert_array_equal(
        found.vectors, np.float32([[1, 2, 3], [4, 5, 6], [-1, 0.2, 0.5], [7, 8, 9], [0, 0, 1]])
    )
    assert found.size == 3 and len(found) == 5 and "猫" in found and "狗" not in found


@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_word2vecs_header_and_line_ends_are_passed_over(tmp_path, end):
    found = read_word_vectors(write(tmp_path / "v.txt", end.join(["2 3", "cat 1 2 3", "dog 4 5 6", ""])))
    assert found.words == ["cat", "dog"]
    np.testing.assert_array_equal(found["dog"], [4, 5, 6])


def test_of_a_word_that_stands_twice_the_first_vector_counts(tmp_path):
    found = read_word_vectors(write(tmp_path / "v.txt", "cat 1 2\ndog 3 4\ncat 5 6\n"))
    assert found.words == ["cat", "dog"]
    np.testing.assert_array_equal(found["cat"], [1, 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat 1 2\ndog 3\n", r"line 2 has 1 numbers, but the first line has 2"),
        ("cat 1 2\ndog 3 x\n", r"line 2: a word and its 2 numbers were expected, found 'dog 3 x'"),
        ("cat 1 2\ndog 3 nan\n", r"line 2: the vector of 'dog' isn't finite"),
        (b"cat 1 2\n\xe7 3 4\n", r"line 2 isn't UTF-8: byte 0xe7 at 0"),
        ("cat\n", r"line 1: a word and its numbers were expected, found 'cat'"),
        ("", "has no word vectors"),
        ("2 3\n", "has no word vectors"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"v\.txt.*{message}"):
        read_word_vectors(write(tmp_path / "v.txt", content))


# ---- comparing ----


def test_gloves_known_cosines(glove):
    assert (len(glove), glove.size) == (20_000, 100)
    assert glove.cosine("king", "queen") == pytest.approx(0.7508, abs=5e-5)
    assert glove.cosine("cat", "dog") == pytest.approx(0.8798, abs=5e-5)


def test_nearest_words_are_scikit_learns(glove):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise", reason="scikit-learn is the oracle here")
    for word in ("king", "paris", "the", "."):
        cosines = pairwise.cosine_similarity(glove[word][None], glove.vectors)[0]
        best = np.argsort(-cosines)[1:6]
        found = glove.nearest(word, 5)
        assert [name for name, _ in found] == [glove.words[i] for i in best]
        np.testing.assert_allclose([cosine for _, cosine in found], cosines[best], atol=1e-6)


def test_nearest_leaves_the_word_itself_out_and_a_zero_vector_is_like_none():
    vectors = WordVectors(["a", "same", "against", "zero"], [[1, 0], [2, 0], [-1, 0], [0, 0]])
    assert vectors.nearest("a", 9) == [("same", 1.0), ("zero", 0.0), ("against", -1.0)]
    assert vectors.nearest("same", 1) == [("a", 1.0)]
    assert vectors.cosine("a", "zero") == 0


def test_words_that_are_not_there_and_shapes_that_do_not_fit():
    vectors = WordVectors(["a"], [[1.0, 2.0]])
    for ask in (lambda: vectors["B"], lambda: vectors.nearest("B"), lambda: vectors.cosine("a", "B")):
        with pytest.raises(DataError, match=r"no vector for 'B' among the 1 words \(GloVe's are lower-case\)"):
            ask()
    with pytest.raises(ConfigError, match="k=0"):
        vectors.nearest("a", 0)
    for words, array in ((["a", "a"], [[1], [2]]), (["a"], [[1], [2]]), (["a"], [1])):
        with pytest.raises(DataError, match="different words need as many vectors"):
            WordVectors(words, array)


# ---- filling an embedding ----

VECTORS = WordVectors(["the", "cat", "猫", "London", "paris"], np.arange(20).reshape(5, 4) - 9.5)


def filled(text, **options):
    tokenizer = WordTokenizer.train([text], special_tokens=["<pad>"])
    ml.seed(0)
    embedding = Embedding(tokenizer.vocab_size, 4)
    before = embedding.weight.numpy().copy()
    return tokenizer, embedding, before, fill_embedding(embedding, tokenizer, VECTORS, **options)


def test_found_words_get_their_vector_in_lower_case_where_need_be():
    tokenizer, embedding, before, coverage = filled("The cat the dog London Paris 猫 qxz")
    weight = embedding.weight.numpy()
    wanted = {"The": "the", " cat": "cat", " the": "the", " London": "London", " Paris": "paris", " 猫": "猫"}
    for token, word in wanted.items():
        np.testing.assert_array_equal(weight[tokenizer.words.index(token)], VECTORS[word], err_msg=token)
    assert (coverage.found, coverage.words, coverage.share_of_tokens) == (6, 8, None)
    assert str(coverage) == "6 of 8 words have a vector"


def test_the_rest_keeps_its_direction_and_gets_the_vectors_spread():
    tokenizer, embedding, before, _ = filled("the dog qxz " + " ".join("abcdefghij"))
    rest = [i for i in range(tokenizer.vocab_size) if tokenizer.token_bytes(i) != b"the"]
    after = embedding.weight.numpy()[rest]
    assert after.std() == pytest.approx(VECTORS.vectors.std(), rel=1e-5)
    np.testing.assert_allclose(after / after.std(), before[rest] / before[rest].std(), rtol=1e-5)


def test_counts_give_the_share_of_the_text():
    text = "the the the dog"  # tokens "the", " the" twice, " dog"
    tokenizer = WordTokenizer.train([text])
    counts = np.bincount(tokenizer.encode(text), minlength=tokenizer.vocab_size)
    coverage = fill_embedding(Embedding(tokenizer.vocab_size, 4), tokenizer, VECTORS, counts=counts)
    assert coverage == Coverage(found=2, words=3, share_of_tokens=0.75)
    assert str(coverage) == "2 of 3 words have a vector, 75.0% of the text's tokens"


def test_frozen_vectors_are_not_trained():
    for freeze in (True, False):
        _, embedding, _, _ = filled("the cat dog", freeze=freeze)
        other = ml.nn.Parameter(np.ones((1, 4), np.float32))
        optimizer = AdamW([*embedding.parameters(), other], lr=0.1)
        before = embedding.weight.numpy().copy()
        ml.ops.sum(embedding(np.array([1, 2])) * other).backward()
        optimizer.step()
        assert np.array_equal(embedding.weight.numpy(), before) == freeze


def test_a_byte_level_vocabulary_has_pieces_that_are_no_text(glove):
    """Tokens that are half a character, or a piece of a word, are passed over; whole words are found."""
    tokenizer = BPETokenizer.train(["the cat and the dog and the 猫 " * 9], 300)
    embedding = Embedding(tokenizer.vocab_size, 100)
    coverage = fill_embedding(embedding, tokenizer, glove)
    assert 26 < coverage.found < 150
    (the,) = tokenizer.encode(" the")
    np.testing.assert_array_equal(embedding.weight.numpy()[the], glove["the"])


def test_sizes_that_do_not_fit_are_refused_and_nothing_is_written():
    tokenizer = WordTokenizer.train(["the cat"])
    for rows, size, message in ((3, 5, "d_model=5, the word vectors 4 numbers"), (9, 4, "9 rows, .* 3 ids")):
        embedding = Embedding(rows, size)
        before = embedding.weight.numpy().copy()
        with pytest.raises(ShapeError, match=message):
            fill_embedding(embedding, tokenizer, VECTORS)
        np.testing.assert_array_equal(embedding.weight.numpy(), before)
    embedding = Embedding(3, 4)
    before = embedding.weight.numpy().copy()
    with pytest.raises(ShapeError, match=r"counts has shape \(2,\); .* each of the 3 ids"):
        fill_embedding(embedding, tokenizer, VECTORS, counts=[1, 2])
    np.testing.assert_array_equal(embedding.weight.numpy(), before)
