"""The bench of derivations: a chain of formulas, each link checked, the broken one named.

>>> from genart_lessons.derivation import Derivation
"""

from genart_lessons.derivation.chain import Derivation, Line, Report
from genart_lessons.derivation.links import Finding
from genart_lessons.derivation.world import World, WorldError

__all__ = ["Derivation", "Finding", "Line", "Report", "World", "WorldError"]
