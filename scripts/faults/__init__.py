"""What `scripts/chaos.py` is made of: a server, what it stands on, who speaks to it, and what goes wrong meanwhile."""
