"""Catalogue of models, local store, verified installation."""

from lingting.models.catalogue import Archive, Catalogue, Model, ModelFile, catalogue
from lingting.models.download import Downloader
from lingting.models.install import install
from lingting.models.mirrors import Mirrors
from lingting.models.store import Store
from lingting.models.watch import Watch

__all__ = [
    "Archive",
    "Catalogue",
    "Downloader",
    "Mirrors",
    "Model",
    "ModelFile",
    "Store",
    "Watch",
    "catalogue",
    "install",
]
