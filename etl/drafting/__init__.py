"""Drafting: a contract guessed from a sender's file, to edit, and a trial of it."""
