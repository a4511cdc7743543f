"""Servers for the kills and outages."""

from tests.support.postgres import postgres
from tests.support.s3 import rclone_s3

__all__ = ["postgres", "rclone_s3"]
