"""Cases that run here and on Python's dictrack 2.1.5, and what says beforehand where the two may differ."""
