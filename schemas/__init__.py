"""What is said: the nouns of callsheet as frozen values, and the decisions that need no I/O.

Every other package imports from here; this package imports none of them.
"""
