"""The version. It has its own module because reports and exported files name it, and the package itself imports the API."""

__version__ = "0.1.0"
