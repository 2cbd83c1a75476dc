"""What stands on an encoder (classifiers, pointer, choice) in torch: text by text, as the definitions say it."""

import torch
from torch import nn
from torch.nn import functional as F

from minillm.models import BERT
from tests.oracles.torch_bert import TorchBERT
from tests.oracles.torch_gpt import TorchGPT


class TorchHead(nn.Module):
    """An encoder and one linear layer. kind: the class of the minillm model; pooling: its own, if it has one."""

    def __init__(self, model):
        super().__init__()
        self.kind, self.pooling = type(model).__name__, getattr(model, "pooling", None)
        self.encoder = (TorchBERT if isinstance(model.encoder, BERT) else TorchGPT)(model.encoder.config)
        self.head = nn.Linear(model.encoder.config.d_model, len(model.head.weight))
        self.to(getattr(torch, model.encoder.config.dtype))

    def forward(self, ids, targets, mask):
        """Logits and the mean cross-entropy; padding at the right, where a causal model doesn't look."""
        logits = getattr(self, self.kind)(ids, mask)
        if self.kind == "TokenClassifier":
            return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
        if self.kind == "SpanPointer":
            return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, F.cross_entropy(logits, targets)

    def features(self, ids, mask):
        if isinstance(self.encoder, TorchBERT):
            return self.encoder.features(ids, mask, torch.zeros_like(ids))
        return self.encoder.features(ids)

    def vector(self, ids, mask):
        """(d_model,) of one text, of its real tokens."""
        x = self.features(ids[None, mask], mask[None, mask])[0]
        return {"cls": x[0], "last": x[-1], "mean": x.mean(0)}[self.pooling]

    def SequenceClassifier(self, ids, mask):
        return torch.stack([self.head(self.vector(*row)) for row in zip(ids, mask, strict=True)])

    def TokenClassifier(self, ids, mask):
        return self.head(self.features(ids, mask))

    def SpanPointer(self, ids, mask):
        return self.head(self.features(ids, mask)).mT.masked_fill(~mask[:, None], -torch.inf)

    def ChoiceScorer(self, ids, mask):
        rows = [[self.head(self.vector(*one)) for one in zip(*row, strict=True)] for row in zip(ids, mask, strict=True)]
        return torch.stack([torch.cat(row) for row in rows])


def twin_of(model):
    """A TorchHead with the weights of a minillm model; torch's language-model heads stay out, as they are in ours."""
    twin = TorchHead(model)
    if isinstance(twin.encoder, TorchBERT):
        twin.encoder.head = nn.Identity()
    twin.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.state_dict().items()})
    return twin
