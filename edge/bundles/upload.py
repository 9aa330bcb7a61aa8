"""Upload by one HTTP PUT to a presigned URL. The URL is a secret: it is in no message and in no log."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import requests

from edge.backoff import backoff_s

TRIES = 3
WAIT_S, WAIT_MAX_S = 2.0, 4.0
TIMEOUTS_S = (10.0, 60.0)  # to connect; between two signs of life

log = logging.getLogger(__name__)


class UploadFailed(Exception):
    """The storage did not take the file; the text is an HTTP status, or the kind of failure."""

    code = "upload-failed"

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass


def upload(path: Path, url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Put a file there, as it is and without a header of its own: presigned is that there is none.

    A refusal is final; a server or a line that fails is tried again, TRIES times in all.

    Raises:
        UploadFailed: it is not there.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return _put(path, url)
        except UploadFailed as error:
            if not error.may_pass or not tries_left:
                raise
            log.warning("bundle of logs is not uploaded yet: error=%s tries_left=%d", error, tries_left)
            sleep(backoff_s(TRIES - tries_left, WAIT_S, WAIT_MAX_S))
    return None


def _put(path: Path, url: str) -> None:
    try:
        with path.open("rb") as file:
            answer = requests.put(
                url,
                data=file,
                timeout=TIMEOUTS_S,
                allow_redirects=False,
                auth=lambda request: request,  # none, also where a .netrc has one
            )
            status = answer.status_code
            answer.close()
    except (requests.RequestException, OSError, ValueError) as error:
        # Without the cause: its text has the URL.
        raise UploadFailed(type(error).__name__, may_pass=True) from None
    if not 200 <= status < 300:
        raise UploadFailed(f"HTTP {status}", may_pass=status >= 500 or status == 429)
