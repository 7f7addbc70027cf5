"""What the generator is built on: random numbers, calendar, reference data, encoding."""
