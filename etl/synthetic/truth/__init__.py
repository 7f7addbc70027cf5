"""What the feeds truly hold, written down beside them."""
