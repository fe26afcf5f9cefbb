"""A bag of words with a linear model of scikit-learn, which any network for texts has to beat.

It reads the words that the networks read: token ids are decoded again. Words beyond `max_length` tokens are thus lost to it,
too, but no text has to be stored twice, and the sealed test samples need nothing else. Ids alone are not enough: a piece of a
word does not tell the word.

The model is a linear support vector machine. With many classes and few labels it is better than logistic regression, and many
times faster: on 2,000 nouns of WordNet, 25 classes, at best 60.4% against 58.8% (reports/LOG.md). Its margins are not
probabilities, so one factor, the temperature of Guo et al. (ICML 2017), turns them into logits; predictions stay the same.
Values are predicted by ridge regression. The strength and the length of n-grams are chosen on the validation samples, as
students are.

Suffixes of shapes: N samples, F n-grams, C classes in the training samples, K outputs (classes, labels, or values).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ..data import Columns, InputSpec
from ..data.columns import Ragged
from ..data.encoding import TOKENS, TYPES
from ..data.texts import Text
from ..spec import TaskKind, UsageError
from ..spec.arrays import Array, Floats
from ..spec.value import Json
from .boosting import SURE, among_all
from .data import Data

STRENGTHS = (0.25, 1.0, 4.0)
"""Values of C, the inverse of the regularization, that are tried."""
WORD = r"(?u)\b\w+\b"
"""Words of one letter count, unlike scikit-learn's default: in some scripts many words have one."""
MOST = 20_000_000
"""The most training tokens for which pairs of neighboring words are counted, too: for more, they take many gigabytes."""
CHUNK = 1000
"""How many texts are decoded at a time."""
FLAT, STEEP = 1e-2, 1e2
"""The range of the factor that makes margins logits."""
Words = Sequence[Sequence[str]]
"""Texts of words: one list (N,), or two for pairs of texts."""
Fitted = Any
"""An object of scikit-learn, which has no types."""
Sparse = Any
"""A matrix of scipy, which has none either."""


@dataclass(frozen=True, kw_only=True)
class TfIdf:
    """Fitted TfidfVectorizers, one for each text of a sample, and linear models: one for all classes, or one for each of
    several labels or values. A model is a number if all training samples have it. Margins times `scale` are logits.
    """

    text: Text
    vectorizers: Sequence[Fitted]
    models: Sequence[Fitted]
    kind: TaskKind
    classes: int
    scale: float = 1.0

    @classmethod
    def fit(cls, data: Data) -> Self:
        """On the training samples with labels; of those tried, the first one that is the best on the validation samples."""
        assert data.text is not None, "only texts have words"
        words, seen = words_of(data.train_x, data.text), words_of(data.validation_x, data.text)
        y = np.asarray(data.validation_y)
        found = max(cls._tried(data, data.text, words), key=lambda one: one._quality(one._margins(seen), y))
        return replace(found, scale=found._best_scale(found._margins(seen), y))

    @classmethod
    def _tried(cls, data: Data, text: Text, words: Words) -> Iterator[Self]:
        """Simple ones first."""
        y = np.asarray(data.train_y)
        for vectorizers in _counted(words, _tokens(data.train_x)):
            features = _features(vectorizers, words)
            for strength in STRENGTHS:
                models = [_model(features, y_N, data.kind, strength) for y_N in ([y] if y.ndim == 1 else y.T)]
                yield cls(text=text, vectorizers=vectorizers, models=models, kind=data.kind, classes=data.classes)

    @staticmethod
    def refuse(inputs: InputSpec) -> None:
        """Raises UsageError unless samples are texts."""
        if not any(field.name == TOKENS and field.vocabulary is not None for field in inputs.fields):
            raise UsageError(f"baselines: tf_idf_linear takes texts, not samples of {inputs.label}; remove it")

    @property
    def bytes(self) -> int:
        """Those of a compact file: each n-gram in UTF-8 with a separator, and as float32 its rarity, weights, intercepts and
        the scale.
        """
        grams = [gram for one in self.vectorizers for gram in one.vocabulary_]
        weights = [1 if isinstance(one, float) else one.coef_.size + np.size(one.intercept_) for one in self.models]
        return sum(len(gram.encode()) + 1 for gram in grams) + 4 * (len(grams) + sum(weights) + 1)

    def prepared(self, x: Columns) -> Words:
        """What `predict` takes: texts of words."""
        return words_of(x, self.text)

    def predict(self, words: Words) -> Floats:
        """(N, K): logits of classes or labels, or values."""
        margins = self._margins(words)
        if self.kind == "classification":
            return among_all(self.scale * margins, self._there(), self.classes)
        fixed_K = [isinstance(one, float) for one in self.models]
        return np.where(fixed_K, margins, self.scale * margins)

    def _margins(self, words: Words) -> Floats:
        """(N, C), or (N, K) for labels and values; what does not vary in the training samples is certain."""
        features = _features(self.vectorizers, words)
        margins = [self._of_one(model, features) for model in self.models]
        return margins[0] if margins[0].ndim == 2 else np.stack(margins, axis=1)

    def _of_one(self, model: Fitted, features: Sparse) -> Floats:
        count, found = features.shape[0], model
        if isinstance(model, float):
            certain = {"classification": 0.0, "multilabel": (2 * model - 1) * SURE, "regression": model}[self.kind]
            return np.full((count, 1) if self.kind == "classification" else count, certain)
        found = model.predict(features) if self.kind == "regression" else model.decision_function(features)
        two = self.kind == "classification" and found.ndim == 1
        return np.stack([np.zeros(count), found], axis=1) if two else np.asarray(found, np.float64)

    def _there(self) -> list[int]:
        """The classes (C,) of the training samples."""
        (model,) = self.models
        return [int(model)] if isinstance(model, float) else [int(one) for one in model.classes_]

    def _quality(self, margins: Floats, y: Array) -> float:
        """What is best on the validation samples: the accuracy, or the negative of the log loss of labels or squared error."""
        if self.kind == "classification":
            return float(np.mean(np.array(self._there())[margins.argmax(1)] == y))
        if self.kind == "regression":
            return -float(np.mean((margins - y) ** 2))
        return -self._log_loss(self._best_scale(margins, y), margins, y)

    def _best_scale(self, margins: Floats, y: Array) -> float:
        """The factor whose logits have the smallest log loss on the validation samples."""
        from scipy.optimize import minimize_scalar

        if self.kind == "regression":
            return 1.0
        ends = np.log([FLAT, STEEP])
        return float(np.exp(minimize_scalar(lambda z: self._log_loss(np.exp(z), margins, y), bounds=ends, method="bounded").x))

    def _log_loss(self, scale: float, margins: Floats, y: Array) -> float:
        """Of samples whose class is among the training samples, or of labels that vary there; 0 if there are none."""
        from scipy.special import log_softmax

        if self.kind == "multilabel":
            varies_K = [not isinstance(one, float) for one in self.models]
            losses = np.logaddexp(0, (1 - 2 * y[:, varies_K]) * scale * margins[:, varies_K])
        else:
            places = {each: place for place, each in enumerate(self._there())}
            known = np.flatnonzero(np.isin(y, list(places)))
            losses = -log_softmax(scale * margins[known], axis=1)[np.arange(len(known)), [places[each] for each in y[known]]]
        return float(losses.mean()) if losses.size else 0.0


def _model(features: Sparse, y_N: Array, kind: TaskKind, strength: float) -> Fitted:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Ridge
    from sklearn.svm import LinearSVC

    if not np.ptp(y_N):
        return float(y_N[0])
    model = Ridge(alpha=1 / strength) if kind == "regression" else LinearSVC(C=strength, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a little less than the best is good enough
        return model.fit(features, y_N)


def _counted(words: Words, tokens: int) -> Iterator[list[Fitted]]:
    """Vectorizers of words, and of words and pairs of neighbors."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    for longest in (1, 2) if tokens <= MOST else (1,):
        how: Json = {"sublinear_tf": True, "token_pattern": WORD, "dtype": np.float32}
        yield [TfidfVectorizer(ngram_range=(1, longest), **how).fit(part) for part in words]


def _features(vectorizers: Sequence[Fitted], words: Words) -> Sparse:
    """(N, F), sparse."""
    from scipy.sparse import hstack

    return hstack([one.transform(part) for one, part in zip(vectorizers, words, strict=True)], "csr")


def _tokens(x: Columns) -> int:
    return int(_ragged(x, TOKENS).offsets[-1])


def _ragged(x: Columns, name: str) -> Ragged:
    column = x[name]
    assert isinstance(column, Ragged), "texts differ in length"
    return column


def words_of(x: Columns, text: Text) -> Words:
    """What the tokens of samples say, without special tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text.content.decode())
    parts = [list[str]() for _ in range(1 + (TYPES in x))]
    for start in range(0, len(x), CHUNK):
        ids = list(_split(x, range(start, min(start + CHUNK, len(x)))))
        for place, part in enumerate(parts):
            part += tokenizer.decode_batch([each[place] for each in ids], skip_special_tokens=True)
    return parts


def _split(x: Columns, rows: range) -> Iterator[list[list[int]]]:
    """The ids of each text of each sample."""
    tokens = _ragged(x, TOKENS)
    types = _ragged(x, TYPES) if TYPES in x else None
    for row in rows:
        place = slice(tokens.offsets[row], tokens.offsets[row + 1])
        ids = np.asarray(tokens.values[place])
        kinds = None if types is None else np.asarray(types.values[place])
        yield [ids.tolist()] if kinds is None else [ids[kinds == kind].tolist() for kind in (0, 1)]
