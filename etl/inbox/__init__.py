"""The inbox: from folders and files to records that are told apart, byte by byte."""
