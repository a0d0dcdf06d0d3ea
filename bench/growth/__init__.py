"""What grows with a cluster: a simulation of very many streams, and load from a schedule on real nodes."""
