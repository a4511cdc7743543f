"""Fixtures of the media tests."""

from tests.support.media_files import each_ffmpeg, hit_counter  # noqa: F401 - fixtures are found by name
