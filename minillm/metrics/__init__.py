"""What a model's output is worth: measures of classes, answers, translations, summaries and generated text.

classification  accuracy, cross-entropy, the confusion matrix, precision, recall and F1
language        perplexity, bits per byte, accuracy at masked tokens
answers         exact match and token F1, as SQuAD defines them
text            variety, repetition and length of generated text
bleu, rouge     BLEU, chrF, self-BLEU and ROUGE, by the libraries papers report (the extra `evaluate`)
"""

from minillm.metrics.answers import exact_match, normalise, token_f1
from minillm.metrics.bleu import LibraryScore, bleu, chrf, self_bleu
from minillm.metrics.classification import (
    ClassScores,
    MeanScores,
    accuracy,
    class_scores,
    confusion_matrix,
    cross_entropy,
    f1_score,
    macro_scores,
    micro_scores,
)
from minillm.metrics.language import bits_per_byte, masked_token_accuracy, perplexity
from minillm.metrics.rouge import rouge
from minillm.metrics.text import Lengths, distinct_n, length_statistics, repetition_rate
from minillm.metrics.words import language_of, words

__all__ = [
    "ClassScores", "Lengths", "LibraryScore", "MeanScores", "accuracy", "bits_per_byte", "bleu", "chrf", "class_scores",
    "confusion_matrix", "cross_entropy", "distinct_n", "exact_match", "f1_score", "language_of", "length_statistics",
    "macro_scores", "masked_token_accuracy", "micro_scores", "normalise", "perplexity", "repetition_rate", "rouge",
    "self_bleu", "token_f1", "words",
]  # fmt: skip
