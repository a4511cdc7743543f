"""Servers and places for the inbox's tests."""

from tests.support.inbox import InboxBench, bench
from tests.support.s3 import rclone_s3

__all__ = ["InboxBench", "bench", "rclone_s3"]
