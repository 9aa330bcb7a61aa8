"""Bytecode for the zip: a Lambda keeps nothing that it compiles, and would compile all at each cold start.

The same source gives the same bytes: compiled in a process with a fixed hash seed, and marshalled
without references, which would depend on what else is alive. It is of the unchecked-hash kind (PEP
552), as nothing in a zip changes. Run as a script, it compiles what standard input names.
"""

import hashlib
import importlib.util
import json
import marshal
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_UNCHECKED_HASH = 1
_WITHOUT_REFERENCES = 2  # the newest marshal format that has none
_FOLDER = f"bytecode-{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}"


def compiled(sources: Mapping[str, Path], build_folder: Path) -> dict[str, Path]:
    """Return the bytecode of ``sources`` (name in the zip → file) for this very Python, by name in the zip.

    What was compiled before is kept in ``build_folder``. A source that does not compile has none.
    """
    kept = build_folder / _FOLDER
    kept.mkdir(parents=True, exist_ok=True)
    found = {
        name: kept / hashlib.sha256(f"{name}\n".encode() + path.read_bytes()).hexdigest()
        for name, path in sources.items()
    }
    wanted = [(name, str(sources[name]), str(path)) for name, path in found.items() if not path.exists()]
    if wanted:
        subprocess.run(
            [sys.executable, "-S", "-W", "ignore", __file__],
            input=json.dumps(wanted),
            text=True,
            env={"PYTHONHASHSEED": "0"},
            check=True,
        )
    return {importlib.util.cache_from_source(name): path for name, path in found.items() if path.exists()}


def _compile(name: str, source: bytes) -> bytes | None:
    try:
        code = compile(source, name, "exec", dont_inherit=True)
        marshalled = marshal.dumps(code, _WITHOUT_REFERENCES)
    except (SyntaxError, ValueError):
        return None
    kind = _UNCHECKED_HASH.to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + kind + importlib.util.source_hash(source) + marshalled


def _main() -> None:
    for name, source, target in json.load(sys.stdin):
        bytecode = _compile(name, Path(source).read_bytes())
        if bytecode is not None:
            scratch = Path(f"{target}.{os.getpid()}.part")
            scratch.write_bytes(bytecode)
            scratch.rename(target)


if __name__ == "__main__":
    _main()
