"""Text to token ids and back: by character, by word, by byte-pair encoding."""

from minillm.tokenizers.base import Tokenizer, load_tokenizer
from minillm.tokenizers.bpe import BPETokenizer
from minillm.tokenizers.character import CharTokenizer
from minillm.tokenizers.word import WordTokenizer

__all__ = ["BPETokenizer", "CharTokenizer", "Tokenizer", "WordTokenizer", "load_tokenizer"]
