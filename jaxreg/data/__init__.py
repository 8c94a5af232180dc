"""Data sets as arrays in memory: training, validation and test splits of flat float32 inputs and labels.

Labels are classes, int32, or numbers, float32.

`load` knows scikit-learn's digits, MNIST-1D, MNIST, Fashion-MNIST, every image classification set that
tensorflow-datasets has prepared, and files of the user's own; `from_arrays` takes arrays. TensorFlow is never imported,
tensorflow-datasets only to decode a set for the first time: the decoded pixels are cached.
"""

from jaxreg.data.arrays import Data, Split, from_arrays
from jaxreg.data.loading import load, located

__all__ = ["Data", "Split", "from_arrays", "load", "located"]
