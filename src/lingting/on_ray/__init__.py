"""The roles of a cluster as deployments of Ray Serve, which places, restarts, scales and updates their processes.

Ray carries no packet and no audio: that is the cluster's own link. Nothing here is imported by the server itself.
"""
