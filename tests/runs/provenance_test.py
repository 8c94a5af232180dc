"""What is noted of how a run came to be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jax
import pytest

from jaxreg.files import strict_json, write_atomically
from jaxreg.runs import provenance


def test_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert provenance.git_state(tmp_path) is None
    git("init")
    assert provenance.git_state(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    assert provenance.git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("b")
    assert provenance.git_state(tmp_path) == {"commit": commit, "dirty": True}
    (tmp_path / "inside").mkdir()
    assert provenance.git_state(tmp_path / "inside") is None
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(tmp_path) is None


def test_provenance_is_plain(tmp_path: Path) -> None:
    assert provenance.package_versions()["jax"] == jax.__version__
    device = provenance.device_description()
    assert device["count"] == jax.device_count()
    assert device["platform"] == jax.default_backend()
    strict_json(device)
    before = provenance.peak_memory_bytes()
    assert 10**7 < before < 10**13
    write_atomically(tmp_path / "a", "b" * 10)
    assert provenance.peak_memory_bytes() >= before


def test_what_computes_the_numbers_and_has_changed_is_named() -> None:
    meta = {"versions": provenance.package_versions(), "device": provenance.device_description()}
    assert provenance.changes_since(meta) == provenance.changes_since({}) == []
    meta["versions"]["jaxlib"], meta["device"]["kind"] = "0.1", "abacus"
    assert provenance.changes_since(meta) == [
        f"jaxlib 0.1 there, {provenance.package_versions()['jaxlib']} here",
        f"device kind abacus there, {provenance.device_description()['kind']} here",
    ]
