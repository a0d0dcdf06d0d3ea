"""The only modules that import a model library; they know no protocol."""
