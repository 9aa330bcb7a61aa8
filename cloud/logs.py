"""Log lines that people read and queries find: one message, and its facts as members of the JSON line.

On AWS the Lambda runtime writes a record as one JSON object, its ``extra`` included (the functions'
``LoggingConfig``); as text the same facts follow the message. Never a payload, an env value or a token.
"""

import json
import logging
import re

_PLAIN = re.compile(r"[!#-~]*")


def start_logging() -> None:
    """Let INFO through, which the Lambda runtime may not; but not what boto3 tells of its credentials."""
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("botocore").setLevel(logging.WARNING)


def tell(log: logging.Logger, message: str, **facts: str | float | bool | None) -> None:
    """Log ``message`` at INFO with those of ``facts`` that are not None."""
    known = {name: fact for name, fact in facts.items() if fact is not None}
    log.info(
        "%s: %s", message, " ".join(f"{name}={_shown(fact)}" for name, fact in known.items()), extra=known
    )


def _shown(fact: str | float) -> str:
    text = str(fact)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
