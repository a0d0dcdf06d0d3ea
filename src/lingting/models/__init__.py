"""Catalogue of models, local store, verified installation."""

from lingting.models.catalogue import Catalogue, Model, ModelFile, catalogue
from lingting.models.install import install
from lingting.models.store import Store

__all__ = ["Catalogue", "Model", "ModelFile", "Store", "catalogue", "install"]
