"""Imports: files and objects that do not grow, each once, however often interrupted."""
