"""``docs/settings.md`` is what the model says."""

import subprocess
import sys
from pathlib import Path

from fastserver.config import reference
from fastserver.config.model import SETTINGS
from fastserver.config.rivals import RIVALS

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference.render(), (
        "write it anew: python -m fastserver.config.reference > docs/settings.md"
    )


def test_it_names_everything() -> None:
    text = reference.render()
    for key, fact in SETTINGS.items():
        assert f"### `{key}`\n\n{fact.help}\n" in text
        assert f"`--{(fact.singular or key).replace('_', '-')}`" in text
        assert f"`FASTSERVER_{key.upper()}`" in text
        assert all(f"`{alias}`" in text for alias in (*fact.aliases, fact.singular) if alias)
    assert all(f"`{key}`" in text for key in RIVALS)


def test_the_command_prints_it() -> None:
    command = [sys.executable, "-m", "fastserver.config.reference"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert printed.stdout.decode() == reference.render()
    assert printed.stderr == b""
