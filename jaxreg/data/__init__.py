"""Data sets as arrays in memory: a training, a validation and a test split of flat float32 inputs and int32 labels.

`load` knows scikit-learn's digits, MNIST, Fashion-MNIST and every image classification set that tensorflow-datasets has
prepared; `from_arrays` takes the user's own. TensorFlow is never imported, tensorflow-datasets only to decode a set for
the first time: the decoded pixels are cached.
"""

from jaxreg.data.arrays import Data, Split, from_arrays
from jaxreg.data.loading import load

__all__ = ["Data", "Split", "from_arrays", "load"]
