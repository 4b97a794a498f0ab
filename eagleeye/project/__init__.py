"""A user's folder with the pipeline in it: what belongs there, how it gets there, which library it works with."""
