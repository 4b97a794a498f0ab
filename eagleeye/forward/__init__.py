"""A forward pass of any network: what it is called with, in which mode, on which kernels."""
