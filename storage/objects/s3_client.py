"""Speaking S3: a patient client, what its errors mean, and bodies that end or say why they did not."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from schemas.errors import CallsheetError, InvalidSettings, NotFound, Retryable
from storage.objects.again import BrokenOff
from storage.objects.patience import Patience, PatientPool

AWS = "https://s3.amazonaws.com"
DEFAULT_REGION = "us-east-1"

_BROKEN_OFF = frozenset(
    {
        "BadDigest",
        "ClientDisconnected",
        "IncompleteBody",
        "InvalidPart",
        "NoSuchUpload",
        "OperationAborted",
        "RequestTimeout",
        "XAmzContentSHA256Mismatch",
    }
)
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "TooManyBuckets"})
_FIXES = {
    "NoSuchBucket": "create the bucket, or correct store_url",
    "InvalidBucketName": "correct the bucket's name in store_url",
    "InvalidAccessKeyId": "correct s3_access_key",
    "SignatureDoesNotMatch": "correct s3_secret_key",
    "ExpiredToken": "renew s3_access_key and s3_secret_key",
    "RequestTimeTooSkewed": "set this machine's clock: it differs too much from the server's",
    "AuthorizationHeaderMalformed": "set s3_region to the region of the bucket",
    "PermanentRedirect": "set s3_endpoint and s3_region to those of the bucket",
}
_USUAL_FIX = (
    "see that s3_endpoint, s3_access_key and s3_secret_key belong together and may read, write, list and delete there"
)


def connect(endpoint: str, access_key: str, secret_key: str, region: str, patience: Patience) -> Minio:
    """A client for the server at `endpoint` (`http(s)://host:port`; empty: Amazon's). No request is made.

    Raises:
        InvalidSettings: the endpoint is no such address, or a key is missing.
    """
    address = urlsplit(endpoint or AWS)
    if address.scheme not in ("http", "https") or not address.hostname or address.path.strip("/") or address.query:
        raise InvalidSettings(
            f"s3_endpoint is {_without_userinfo(endpoint)!r}, expected http(s)://host:port",
            fix="set s3_endpoint (CALLSHEET_S3_ENDPOINT) to the address of the S3 server, without a path",
        )
    if address.username is not None:
        raise InvalidSettings(
            "s3_endpoint holds a user name", fix="give the keys as s3_access_key and s3_secret_key instead"
        )
    if not (access_key and secret_key):
        raise InvalidSettings(
            "an s3:// address needs both keys, but "
            + ("s3_secret_key" if access_key else "s3_access_key")
            + " is not set",
            fix="set CALLSHEET_S3_ACCESS_KEY and CALLSHEET_S3_SECRET_KEY",
        )
    try:
        return Minio(
            address.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=address.scheme == "https",
            region=region or DEFAULT_REGION,
            http_client=PatientPool(patience),
        )
    except ValueError as error:
        raise InvalidSettings(
            f"s3_endpoint {address.netloc!r} or s3_region {region!r} cannot be used: {error}",
            fix="correct s3_endpoint and s3_region",
        ) from error


def _without_userinfo(endpoint: str) -> str:
    return endpoint.rpartition("@")[2]


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the client's errors into ours; `what` names what was done to what, as `reading s3://bucket/key`.

    Raises:
        NotFound: there is no such object.
        InvalidSettings: bucket, keys or rights are wrong.
        Retryable: the server is away, busy or broke off.
    """
    try:
        yield
    except S3Error as error:
        raise _meaning(what, error.code or "", error.response.status) from error
    except InvalidResponseError as error:
        raise _unlike_s3(what) from error
    except ServerError as error:
        raise _unlike_s3(f"{what} (HTTP status {error.status_code})") from error
    except (ParseError, MinioException) as error:
        raise BrokenOff(f"{what}: the answer cannot be read", fix="run the same again") from error
    except HTTPError as error:
        raise BrokenOff(f"{what}: the exchange broke off ({type(error).__name__})", fix="run the same again") from error
    except ValueError as error:
        raise InvalidSettings(f"{what}: {error}", fix="correct store_url") from error


def _meaning(what: str, code: str, status: int) -> CallsheetError:
    if code in ("NoSuchKey", "NoSuchVersion"):
        return NotFound(f"{what}: there is no such object")
    if code in _BROKEN_OFF:
        return BrokenOff(f"{what}: the exchange broke off ({code})", fix="run the same again")
    if code in _FULL:
        return Retryable(f"{what}: the object store has no room ({code})", fix="make room or raise the quota")
    return InvalidSettings(
        f"{what}: refused with {code or 'no reason'} (HTTP status {status})", fix=_FIXES.get(code, _USUAL_FIX)
    )


def _unlike_s3(what: str) -> InvalidSettings:
    return InvalidSettings(
        f"{what}: what answers there does not speak S3",
        fix="see that s3_endpoint is the S3 server's address and that no proxy answers in its place",
    )


def body_stream(response: BaseHTTPResponse, what: str, patience: Patience) -> BinaryIO:
    """The body of an answer as a stream that raises `BrokenOff` when it ends early, stalls or crawls.

    Content encodings are left as they are: stored bytes are what they are.
    """
    return io.BufferedReader(_Body(response, what, patience), buffer_size=1 << 18)


class _Body(io.RawIOBase):
    def __init__(self, response: BaseHTTPResponse, what: str, patience: Patience) -> None:
        self._response = response
        self._what = what
        claimed = response.headers.get("content-length", "")
        self._left = int(claimed) if claimed.isascii() and claimed.isdigit() else None
        self._deadline = time.monotonic() + patience.transfer_s(self._left or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io calls it with a memoryview only
        if time.monotonic() > self._deadline:
            raise self._broken("is slower than the slowest that is waited for")
        try:
            # An end before the claimed length is an error here: the client enforces it.
            data = self._response.read(len(buffer), decode_content=False)
        except (HTTPError, OSError) as error:
            raise self._broken(f"broke off ({type(error).__name__})") from error
        if self._left is not None:
            self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            # A body that was not read to its end leaves a connection that nobody can use again.
            if self._left != 0:
                self._response.close()
            self._response.release_conn()
        super().close()

    def _broken(self, why: str) -> BrokenOff:
        return BrokenOff(f"{self._what}: the transfer {why}", fix="run the same again")
