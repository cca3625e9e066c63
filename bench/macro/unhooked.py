"""``python -m bench.macro.unhooked DIRECTORY``: a copy of this checkout whose connections neither count nor tell.

It is the other side of the question what the events' hooks cost where nobody listens:

    python -m bench.macro.unhooked /tmp/unhooked
    python -m bench.macro --servers fastserver --workloads plaintext --reference unhooked --server "unhooked=sh -c \\
        'cd /tmp/unhooked && exec {python} -m fastserver bench.macro.app:app -b 127.0.0.1:{port} --loop uvloop'"
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.macro.process import ROOT

#: By file, what goes and how many places that are; other numbers mean that the source has changed and this has not.
HOOKS = {
    "fastserver/_speedups/connection.py": (
        (r"\n +if self\.host\.observers is not None:\n +self\.host\.observers\.notify\([^\n]*\)", 3),
        (r"\n +if event\.idle:\n +self\._metrics\.\w+ \+= 1\n +else:\n +self\._metrics\.\w+ \+= 1", 1),
        (r"\n +self\._metrics\.(raw_data|bytes)_(in|out) \+= \w+", 5),
        (r"\n +size = len\(event\.data\)\n +self\.bytes_(in|out) \+= size", 2),
    ),
    "fastserver/_speedups/http.py": (
        (r"\n +self\._sink\.get_tally\(\)\.count_request\([^\n]*\)", 1),
        (
            r"(?<=\n        self\._weight = )self\._host\.metrics\.weigh_request\(\) "
            r"if self\._host\.timed else (?=0\n)",
            1,
        ),
    ),
}


def strip(path: str, text: str) -> str:
    """``text`` of the file ``path`` without its hooks.  Raises ``ValueError`` where they are not what is known here."""
    for pattern, expected in HOOKS[path]:
        text, count = re.subn(pattern, "", text)
        if count != expected:
            raise ValueError(f"{path} has {count} places like {pattern}, not {expected}: bring this table up to date")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.macro.unhooked", description="Make a copy without hooks.")
    parser.add_argument("directory", type=Path, help="where the copy goes; must not exist")
    target: Path = parser.parse_args().directory
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.so", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, target, ignore=ignored)
    for path in HOOKS:
        source = target / path
        source.write_text(strip(path, source.read_text("utf-8")), "utf-8")
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=target, check=True)


if __name__ == "__main__":
    main()
