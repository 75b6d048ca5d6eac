"""The command line: thin commands over the SDK, the local machine, the simulator, the devnet and the daemon."""
