"""Language models, each a short file read from top to bottom."""

from minillm.models.bert import BERT, BERTConfig
from minillm.models.bert_weights import embed, load_bert
from minillm.models.classifier import SequenceClassifier, TokenClassifier
from minillm.models.gpt import GPT, GPTConfig
from minillm.models.gpt2_weights import gpt2_state_dict, load_gpt2, save_gpt2
from minillm.models.llama_weights import load_llama2c
from minillm.models.lstm import LSTM, LSTMConfig
from minillm.models.masked_lm import pseudo_perplexity
from minillm.models.ngram import NGram
from minillm.models.pooling import pooled
from minillm.models.seq2seq import Seq2Seq, Seq2SeqConfig, teacher_forcing

__all__ = [
    "BERT", "BERTConfig", "GPT", "GPTConfig", "LSTM", "LSTMConfig", "NGram", "Seq2Seq", "Seq2SeqConfig",
    "SequenceClassifier", "TokenClassifier", "embed", "gpt2_state_dict", "load_bert", "load_gpt2", "load_llama2c",
    "pooled", "pseudo_perplexity", "save_gpt2", "teacher_forcing",
]  # fmt: skip
