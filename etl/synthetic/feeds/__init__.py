"""The world as rows of feeds, and their files."""
