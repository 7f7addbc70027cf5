"""The dictionary: what every relation and column is, where it comes from, who may read it."""
