"""Commands of the command line by subject; ``etl/__main__.py`` puts them together."""
