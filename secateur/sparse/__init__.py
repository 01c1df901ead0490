"""Networks whose zeros are not computed: kernels that walk lists of the weights that are there."""
