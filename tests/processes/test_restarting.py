"""Lines of the log about files; the rest is ``tests/e2e/test_development.py``."""

from pathlib import Path

import pytest

from fastserver.processes.restarting import render_paths


def test_paths_as_a_developer_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = [str(tmp_path.resolve() / name) for name in ("b.py", "a.py", "c.py", "d.py", "e.py")]
    assert render_paths(inside[:1]) == "b.py"
    assert render_paths([*inside[:2], "/elsewhere/x.py"]) == "/elsewhere/x.py, a.py, b.py"
    assert render_paths(inside) == "a.py, b.py, c.py and 2 more"
    assert render_paths(["/x\n.py"]) == r"/x\n.py"
