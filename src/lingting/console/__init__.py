"""The files of the page at `/`, served as they are; `lingting.api.console` serves them."""
