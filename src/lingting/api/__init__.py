"""One module per wire protocol: parse, call, render, nothing else."""
