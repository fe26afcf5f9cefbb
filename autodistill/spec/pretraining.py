"""Schema of the first phase of a student or an assistant: learning from texts alone, before labels are used."""

from __future__ import annotations

from pydantic import TypeAdapter

from .losses import TextLoss
from .recipe import Recipe
from .value import Value


class Pretraining(Value):
    """A transformer predicts masked tokens of all training texts, with and without labels; then it is trained on the task.

    With terms on features, it also learns from the teacher, which reads the same masked tokens (Sanh et al., DistilBERT, 2019).
    """

    loss: TextLoss
    """The terms that learn from texts: mlm, and terms on features."""
    recipe: Recipe
    """How the phase is trained."""


PRETRAINING: TypeAdapter[Pretraining | None] = TypeAdapter(Pretraining | None)
