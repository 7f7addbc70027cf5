"""The stages of the pipeline; each works inside a transaction that the pipeline opened."""
