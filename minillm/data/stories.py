"""Short stories drawn from a grammar of our own, so that the least loss any model can reach is known exactly.

A child named in the first sentence comes back in the last, with what was lost, made or promised on the way; whoever
forgets the beginning can't do well. Every story is one line, followed by an empty one. The rules and the words stand in
story_words.py; what they mean, and how the entropy is computed, in grammar.py.
"""

import functools
import random

from minillm.data.grammar import Grammar
from minillm.data.story_words import RULES, WORDS

GRAMMAR = Grammar(RULES, WORDS)
NUMBER = 2500
SEED = 1337


@functools.cache
def documents(number: int = NUMBER, seed: int = SEED) -> tuple[str, ...]:
    """`number` stories, each drawn independently of the others: about 2 MB as it stands."""
    rng = random.Random(seed)
    return tuple(GRAMMAR.sample(rng)[0] for _ in range(number))


@functools.cache
def entropy_bits_per_byte() -> float:
    """Entropy of a story over its expected length: the rate of an endless stream of stories, in bits per UTF-8 byte.

    A finite piece of that stream, such as the validation text, costs a few percent more or less than the rate.
    """
    return GRAMMAR.entropy_bits() / GRAMMAR.expected_bytes()
