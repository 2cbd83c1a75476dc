"""Text to text by the encoder-decoder model: what translation and summarisation share.  [4.1.1-decoder] [4.2.2]"""

from collections.abc import Iterable, Sequence
from typing import Any

from tqdm import tqdm

from minillm.data.examples import Pair, fitting, pad
from minillm.models import Seq2Seq
from minillm.models.seq2seq import teacher_forcing
from minillm.tasks.answer_report import coherence_line, coherence_of_pairs, text_table
from minillm.tasks.encoder_decoder import begin
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, beside, evaluation_mode
from minillm.training.task import Batch

LENGTH_FACTOR, LENGTH_MORE = 2, 10  # a target has at most 2 · (tokens of its source) + 10 tokens


class TextToText(FinetuneTask):
    """Sources and targets of one vocabulary; an encoded example is (source ids, target ids), each with its end."""

    Example = Pair
    before = ""
    """What stands before each text for the tokenizer."""

    @classmethod
    def prepared(cls, pairs: dict[str, list[Pair]], config: FinetuneConfig) -> Prepared:
        """A vocabulary of sources and targets together, learnt on the training split, or the start's.

        DataError, with their number, for texts longer than the model's context, unless they are to be cut there.
        """
        settings = config.task
        begun = begin(settings.start, config.model, cls.model, cls._texts(pairs["train"]))
        for part in pairs.values():  # in the context, one place is kept for the end
            ids = begun.tokenizer.encode_batch(list(cls._texts(part)))
            fitting(ids, begun.model.context_length - 1, settings.truncate)
        return Prepared(pairs, begun.tokenizer, begun.model, begun.weights)

    @classmethod
    def _texts(cls, pairs: Sequence[Pair]) -> Iterable[str]:
        for pair in pairs:
            yield cls.before + pair.source
            yield cls.before + pair.target

    def encode(self, example: Pair) -> tuple[list[int], list[int]]:
        return self._with_end(example.source), self._with_end(example.target)

    def length(self, encoded: tuple[list[int], list[int]]) -> int:
        return max(map(len, encoded))

    def collate(self, encoded: Sequence[tuple[list[int], list[int]]]) -> Batch:
        source, source_mask = pad([source for source, _ in encoded], self.config.model.pad_id)
        target, _ = pad([target for _, target in encoded], self.config.model.pad_id)
        inputs, targets = teacher_forcing(target, self.config.model)
        return {"source": source, "inputs": inputs, "targets": targets, "source_mask": source_mask}

    def build(self) -> Seq2Seq:
        return Seq2Seq(self.config.model)

    def answer(self, model: Seq2Seq, texts: Sequence[str]) -> list[str]:
        return self.decode(model, [self._with_end(text) for text in texts])

    def too_long(self, texts: Sequence[str]) -> int:
        encoded = self.tokenizer.encode_batch([self.before + text for text in texts])
        return sum(len(ids) >= self.config.model.context_length for ids in encoded)

    def decode(self, model: Seq2Seq, sources: Sequence[list[int]]) -> list[str]:
        """The model's text for each source, by the settings' beam, in batches of similar length."""
        texts = [""] * len(sources)
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        rows = max(1, self.config.training.batch_size // self.config.task.beam)
        with evaluation_mode(model):
            for first in tqdm(range(0, len(order), rows), "decoding", leave=False, disable=None):  # on a terminal
                chosen = order[first : first + rows]
                for i, ids in zip(chosen, self._decoded(model, [sources[i] for i in chosen]), strict=True):
                    texts[i] = self.tokenizer.decode(ids).removeprefix(self.before)
        return texts

    def _decoded(self, model: Seq2Seq, sources: Sequence[list[int]]) -> list[list[int]]:
        ids, mask = pad(sources, self.config.model.pad_id)
        most = [min(self.config.model.context_length, LENGTH_FACTOR * len(row) + LENGTH_MORE) for row in sources]
        settings = self.config.task
        search = {"beam_width": settings.beam, "length_penalty": settings.length_penalty} if settings.beam > 1 else {}
        return model.generate(ids, most, source_mask=mask, **search)

    def shown(self, model: Any, examples: Sequence[Pair]) -> list[str]:
        answers = self.answer(model, [example.source for example in examples])
        return [beside(example.source, text, example.target) for example, text in zip(examples, answers, strict=True)]

    def qualities(self, model: Seq2Seq, split: str) -> str:
        table = text_table(self.written(model, split), self.targets(split), self.targets("train"))
        return f"{table}\n\n{coherence_line(coherence_of_pairs(model, self.collate, self._encoded[split]))}"

    def targets(self, split: str) -> list[str]:
        """The references of a split."""
        return [example.target for example in self.examples[split]]

    def written(self, model: Any, split: str) -> list[str]:
        """What the model makes of every source of a split."""
        return self.decode(model, [source for source, _ in self._encoded[split]])

    def _with_end(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(self.before + text)[: self.config.model.context_length - 1]
        return [*ids, self.config.model.end_id]
