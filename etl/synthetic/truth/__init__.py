"""What the feeds really contain, written next to them."""
