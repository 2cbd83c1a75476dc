"""What a model must beat to be worth its cost: simple methods for each task, without a neural network.

classification  the majority class; bag of words with logistic regression or naive Bayes (the extra `evaluate`)
summaries       the first sentences, or the first words, of the text
answers         multiple choice by the words an option shares with the text
replies         in a dialogue, the most frequent answer; the answer to the nearest question

For language modelling it is the n-gram model, `minillm.models.NGram`, and for long ranges `minillm.models.LSTM`.
"""

from minillm.baselines.answers import choose, distance_scores, sliding_window_scores
from minillm.baselines.classification import Prediction, classify, majority_class
from minillm.baselines.replies import most_frequent, nearest_question
from minillm.baselines.summaries import lead_sentences, lead_words, sentences

__all__ = [
    "Prediction", "choose", "classify", "distance_scores", "lead_sentences", "lead_words", "majority_class",
    "most_frequent", "nearest_question", "sentences", "sliding_window_scores",
]  # fmt: skip
