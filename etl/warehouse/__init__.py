"""The warehouse as it is declared: dimensions, facts and cubes."""
