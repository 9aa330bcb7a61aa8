"""The AWS process: one request on standard input, one answer on standard output, and the end."""

import sys

from pydantic import ValidationError

from edge.aws.messages import ANSWER, REQUEST, Failure


def main() -> int:
    """Answer one request; the exit status is 0 whenever an answer was written."""
    try:
        request = REQUEST.validate_json(sys.stdin.buffer.read(64 * 1024))
    except ValidationError as error:
        found: object = Failure(code="bad-request", message=f"{error.error_count()} errors")
    else:
        from edge.aws.calls import answer  # late, so that a bad request does not pay for boto3

        found = answer(request)
    sys.stdout.buffer.write(ANSWER.dump_json(found))  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main())
