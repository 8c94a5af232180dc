"""What an experiment asserts, judged from its results as supported, contradicted or undecided.

The rules that all claims follow are in `judgement`, the rule of each kind for "supported" and "contradicted" in a
module of its own: `trend`, `pair` (Lower, Higher), `best`, `within`, `reported`; `at_best` judges another claim with
each method at its own best setting. Everything named here is public: `from jaxreg.claims import Trend, judge`.
"""

from jaxreg.claims.at_best import AtBest
from jaxreg.claims.best import Best
from jaxreg.claims.evidence import Evidence, Test
from jaxreg.claims.judgement import Claim, Judgement, Verdict, judge
from jaxreg.claims.measure import Better, Measure
from jaxreg.claims.pair import Higher, Lower
from jaxreg.claims.reported import Reported, ReportedNumber, compare
from jaxreg.claims.trend import Trend
from jaxreg.claims.within import Within

__all__ = [
    "AtBest",
    "Best",
    "Better",
    "Claim",
    "Evidence",
    "Higher",
    "Judgement",
    "Lower",
    "Measure",
    "Reported",
    "ReportedNumber",
    "Test",
    "Trend",
    "Verdict",
    "Within",
    "compare",
    "judge",
]
