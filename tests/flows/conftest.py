"""Servers for the flows' tests."""

from tests.support.postgres import postgres
from tests.support.prefect_server import prefect_server
from tests.support.s3 import rclone_s3

__all__ = ["postgres", "prefect_server", "rclone_s3"]
