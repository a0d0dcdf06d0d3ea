"""Catalogue of models, local store, verified installation."""
