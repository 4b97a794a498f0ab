"""The words in which networks are stored: operations, layers and their settings, values, names."""
