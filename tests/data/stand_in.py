"""A tokenizer of a few lines for tests of what stands above tokenizers: one id a character, or one a UTF-8 byte."""

import hashlib


class Characters:
    def __init__(self, alphabet: str, vocab_size: int | None = None):
        self.alphabet = alphabet
        self.vocab_size = vocab_size or len(alphabet)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [[self.alphabet.index(c) for c in text] for text in texts]

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.alphabet} {self.vocab_size}".encode()).hexdigest()


class Bytes:
    vocab_size = 256

    def __init__(self) -> None:
        self.calls = 0

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        self.calls += 1
        return [list(text.encode()) for text in texts]

    def fingerprint(self) -> str:
        return "bytes"
