"""The daemon: consensus actions turned into input and output, and the executor process beside it."""
