"""Where binaries come from, and what is said when they cannot be built."""

import subprocess

import pytest

from e2e.cluster import binaries


@pytest.mark.slow
@pytest.mark.timeout(900)  # nothing may be in Go's build cache
def test_a_binary_is_built_once_and_kept_outside_the_clone(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GREENROOM_CACHE", str(tmp_path))
    etcd = binaries.path("etcd")
    assert etcd.parent == tmp_path / "bin"
    assert "building etcd v3.6.5" in capfd.readouterr().err
    said = subprocess.run([etcd, "--version"], capture_output=True, text=True, check=True)
    assert "etcd Version: 3.6.5" in said.stdout
    assert binaries.path("etcd") == etcd
    assert capfd.readouterr().err == ""
    assert {path.name for path in etcd.parent.iterdir()} == {".lock", etcd.name}


def test_without_go_and_uv_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENROOM_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "REPOSITORY", tmp_path)
    with pytest.raises(binaries.BuildError, match=r"Go 1.26 or newer, or with uv.*install either"):
        binaries.path("etcd")


def test_a_failed_build_names_the_command_and_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENROOM_CACHE", str(tmp_path))
    broken = binaries.Binary("etcd", "go.etcd.io/etcd/server/v3", "example.org/no/such", 1)
    monkeypatch.setitem(binaries.BINARIES, "broken", broken)
    with pytest.raises(
        binaries.BuildError, match=r"go build .* example.org/no/such[^$]*no/such: import lookup"
    ):
        binaries.path("broken")
    assert [path.name for path in (tmp_path / "bin").iterdir()] == [".lock"]


def test_a_new_pin_or_flag_is_a_new_file(monkeypatch):
    helm = binaries.BINARIES["helm"]
    changed = binaries.Binary(helm.module, helm.project, helm.command, helm.minutes, tags="other")
    assert binaries._digest(changed) != binaries._digest(helm)
    assert helm.version == "v3.22.0"


def test_pins_may_lie_in_a_folder_of_their_own(tmp_path):
    (tmp_path / "peer").mkdir()
    (tmp_path / "peer" / "go.mod").write_text("require example.org/peer v0.1.0 // indirect\n")
    peer = binaries.Binary("peer", "example.org/peer", "example.org/peer", 1, modules=tmp_path)
    assert peer.folder == tmp_path / "peer"
    assert peer.version == "v0.1.0"
