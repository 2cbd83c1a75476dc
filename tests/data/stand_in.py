"""A tokenizer of a few lines for tests of what stands above tokenizers: one id a character, or one a UTF-8 byte."""

import hashlib


class Characters:
    def __init__(self, alphabet: str, vocab_size: int | None = None):
        self.alphabet = alphabet
        self.vocab_size = vocab_size or len(alphabet)

    def encode(self, text: str) -> list[int]:
        return [self.alphabet.index(c) for c in text]

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.alphabet} {self.vocab_size}".encode()).hexdigest()


class Bytes:
    vocab_size = 256

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, text: str) -> list[int]:
        self.calls += 1
        return list(text.encode())

    def fingerprint(self) -> str:
        return "bytes"
