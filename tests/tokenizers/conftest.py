import random
import unicodedata

import pytest

from minillm.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer
from tests.data_files import real_file

END = "<|endoftext|>"
ENGLISH = "The cat sat on the mat. The other cat sat on the other mat, didn't it? It's 1234 mats!\n" * 4
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。\n" * 4
TEXT = ENGLISH + CHINESE


def all_kinds():
    return [
        CharTokenizer.train([TEXT], [END]),
        WordTokenizer.train([TEXT], special_tokens=[END]),
        BPETokenizer.train([TEXT], 300),
    ]


@pytest.fixture(params=all_kinds(), ids=lambda tokenizer: tokenizer.kind)
def tokenizer(request):
    return request.param


@pytest.fixture(scope="session")
def gpt2():
    return BPETokenizer.from_gpt2(real_file("gpt2_encoder.json"), real_file("gpt2_vocab.bpe"))


@pytest.fixture(scope="session")
def gpt2_ranks():
    load = pytest.importorskip("tiktoken.load")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", "")  # no copies of the files in the temporary folder
        return load.data_gym_to_mergeable_bpe_ranks(
            vocab_bpe_file=str(real_file("gpt2_vocab.bpe")), encoder_json_file=str(real_file("gpt2_encoder.json"))
        )


@pytest.fixture(scope="session")
def tiktoken_patterns():
    """tiktoken's own split patterns, taken without the vocabularies that it would fetch."""
    public = pytest.importorskip("tiktoken_ext.openai_public")
    with pytest.MonkeyPatch.context() as patch:
        for loader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
            patch.setattr(public, loader, lambda *_, **__: {})
        return {"gpt2": public.gpt2()["pat_str"], "gpt4": public.cl100k_base()["pat_str"]}


@pytest.fixture(scope="session")
def reference(gpt2_ranks, tiktoken_patterns):
    """tiktoken with GPT-2's vocabulary, by split pattern."""
    tiktoken = pytest.importorskip("tiktoken")
    return {
        name: tiktoken.Encoding(
            name, pat_str=pattern, mergeable_ranks=gpt2_ranks, special_tokens={END: 50256} if name == "gpt2" else {}
        )
        for name, pattern in tiktoken_patterns.items()
    }


@pytest.fixture(scope="session")
def small():
    return BPETokenizer.train([ENGLISH, CHINESE], 320)


def random_texts(n, seed=0):
    """Texts of all scripts, of characters this Python knows: how newer ones are cut depends on the Unicode version."""
    rng = random.Random(seed)
    ranges = [(32, 127), (32, 127), (0, 0x3000), (0x4E00, 0xA000), (0x10000, 0x20000), (0x1F300, 0x1F700)]

    def character():
        while True:
            c = chr(rng.choice([32, 10, rng.randrange(*rng.choice(ranges))]))
            if unicodedata.category(c) not in ("Cn", "Cs"):
                return c

    return ["".join(character() for _ in range(rng.randrange(40))) for _ in range(n)]
