"""Strangers' references in, private local files out, under limits."""

from storage.fetcher.buckets import S3Access
from storage.fetcher.fetcher import Fetcher, make_fetcher
from storage.fetcher.intake import FetchedFile

__all__ = ["FetchedFile", "Fetcher", "S3Access", "make_fetcher"]
