"""All thresholds of the diagnostics: what counts as saturated, silent, twin, at the bound, and when a layer is ill.

How far is too far is a convention: each threshold lies well beyond what healthy networks show.
"""

# Of single units and weights; `jaxreg.diagnostics.layers` measures by them.
SATURATION_MARGIN = 0.05  # a sigmoid so close to 0 or 1 is saturated: its derivative is below 0.19 of its maximum
SMALL = 1e-3  # weights and activations below it in magnitude count as none, which is what sparsity is measured by
AT_BOUND = 1e-4  # a unit whose norm is so close to max_norm, as a fraction of it, is at the bound
# Two units count as one where none of their incoming weights differ by more, as a fraction of the layer's largest.
TWIN_TOLERANCE = 1e-4

# Of a whole layer; the rules in `jaxreg.diagnostics.verdicts` judge by them.
LARGEST_SIGNAL = 1e3  # root mean square of pre-activations; inputs are of order one
LARGEST_GROWTH = 1e3  # of the backpropagated signal from the output layer to a layer
SMALLEST_SHARE = 1e-3  # of the backpropagated signal of the output layer that is left in a layer
MOST_DEAD = 0.5  # of the units
MOST_SATURATED = 0.5  # of the (example, unit) pairs, under the initial weights
LEARNED_CHANGE = 1.0  # of the weights, relative to the initial ones: beyond it the saturation is learned
ALMOST_ALL = 0.9  # of the pairs, whatever the weights went through
SMALLEST_CHANGE = 1e-3  # of the weights over the whole training, relative to the initial ones
