"""Training a HuMo: the data that it learns from, and how."""
