"""A warehouse of synthetic feeds compared with what the generator put into them."""
