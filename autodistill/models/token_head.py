"""The head with which an encoder predicts tokens, in training only.

Suffixes of shapes: B batch, L length, H width, E width of the embeddings, V rows of tokens, R predicted tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..spec.checkpoints import Config
from .encoders import Encoder
from .features import Outputs


class TokenHead(nn.Module):
    """The head of BERT (Devlin et al. 2019): a linear layer, GELU, a norm, and the embedding of tokens with a bias for each.

    The embedding is that of the network, with its rows and its width. The head is not part of the network: its parameters are
    neither stored nor counted with it. `rows_V`: the row of each token id, -1 if the network does not keep the token.
    """

    rows_V: Tensor

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        config: Config = encoder.model.config
        rows, width = encoder.words.shape
        rows_V = torch.full((rows if encoder.table is None else len(encoder.table),), -1)
        rows_V[encoder.kept()] = torch.arange(rows)
        self.layer = encoder.base
        self.dense, self.norm = nn.Linear(config.hidden_size, width), nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(rows))
        self.register_buffer("rows_V", rows_V, persistent=False)

    def read(self, outputs: Outputs, places_R: Tensor, words_VE: Tensor) -> Outputs:
        """The outputs of the network with logits_RV of the tokens at these places of the flattened batch."""
        hidden_RH = outputs.features[self.layer].flatten(0, 1)[places_R]
        return outputs._replace(logits=F.linear(self.norm(F.gelu(self.dense(hidden_RH))), words_VE, self.bias))
