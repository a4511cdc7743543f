"""Building a training set: the processes that make shards, the loop that feeds them, and what is shown of it."""
