"""Pure functions from contracts to artefacts: tables, hash input, dictionary, expectations."""
