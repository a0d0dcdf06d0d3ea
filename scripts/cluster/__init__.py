"""The proof of a cluster: see scripts/cluster_proof.sh."""
