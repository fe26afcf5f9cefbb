"""Search strategies compared on a table of trained students, on a simulated clock.

Everything but the trainings is that of a real search: the study, its samplers, halving.
"""

from .compare import Asked, bench
from .table import Table

__all__ = ["Asked", "Table", "bench"]
