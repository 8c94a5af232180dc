"""Claims about one dimension, each value of which is judged at the setting that is best for it on validation."""

from __future__ import annotations

import dataclasses

from jaxreg.claims.judgement import Claim, Judgement
from jaxreg.measures.summary import best_of_each
from jaxreg.slow_imports import xr


@dataclasses.dataclass(frozen=True)
class AtBest:
    """A claim about the values of a dimension, methods say, each of them at the setting that is best for it.

    A penalty is judged at the best of several strengths, no penalty has no such choice: in what is measured on the
    validation set this favours penalties. p is not adjusted for it.

    Attributes:
      claim: about `dim`, naming no other swept axis.
      dim: a swept dimension; a run without it is judged as it is.
    """

    claim: Claim
    dim: str = "method"

    @property
    def statement(self) -> str:
        """The claim in words."""
        return self.claim.statement

    def judge(self, results: xr.Dataset) -> Judgement:
        """The verdict of these results on it."""
        return self.claim.judge(best_of_each(results, self.dim) if self.dim in results.dims else results)
