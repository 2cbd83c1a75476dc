import random
import unicodedata

import pytest

from minillm.tokenizers import BPETokenizer
from minillm.tokenizers.patterns import PATTERNS
from tests.data_files import real_file

END = "<|endoftext|>"
ENGLISH = "The cat sat on the mat. The other cat sat on the other mat, didn't it? It's 1234 mats!\n" * 4
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。\n" * 4


@pytest.fixture(scope="session")
def gpt2():
    return BPETokenizer.from_gpt2(real_file("gpt2_encoder.json"), real_file("gpt2_vocab.bpe"))


@pytest.fixture(scope="session")
def gpt2_ranks():
    load = pytest.importorskip("tiktoken.load")
    return load.data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(real_file("gpt2_vocab.bpe")), encoder_json_file=str(real_file("gpt2_encoder.json"))
    )


@pytest.fixture(scope="session")
def reference(gpt2_ranks):
    """tiktoken with GPT-2's vocabulary, by split pattern."""
    tiktoken = pytest.importorskip("tiktoken")
    return {
        name: tiktoken.Encoding(
            name, pat_str=pattern, mergeable_ranks=gpt2_ranks, special_tokens={END: 50256} if name == "gpt2" else {}
        )
        for name, pattern in PATTERNS.items()
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
