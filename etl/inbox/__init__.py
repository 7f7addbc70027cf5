"""The inbox: from folders and files to records that are distinguished, byte by byte."""
