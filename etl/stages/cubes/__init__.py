"""The stage ``cubes``: from dimensions and facts to the cubes."""
