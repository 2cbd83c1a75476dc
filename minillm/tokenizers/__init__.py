"""Text to token ids and back: by character, by word, by WordPiece, by byte-pair encoding."""

from minillm.tokenizers.base import Tokenizer, load_tokenizer
from minillm.tokenizers.bpe import BPETokenizer
from minillm.tokenizers.character import CharTokenizer
from minillm.tokenizers.sentencepiece import SentencePieceTokenizer
from minillm.tokenizers.word import WordTokenizer
from minillm.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "BPETokenizer", "CharTokenizer", "SentencePieceTokenizer", "Tokenizer", "WordPieceTokenizer", "WordTokenizer",
    "load_tokenizer",
]  # fmt: skip
