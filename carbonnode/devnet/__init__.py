"""A whole network on one machine, and the market year that runs on it."""
