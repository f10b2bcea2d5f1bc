"""The runtime: settings that exist work, settings that do not exist say what does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import genart_lessons
from genart_lessons import runtime


@pytest.fixture
def setting(monkeypatch):
    for name in ("DEVICE", "PROFILE", "REPO"):
        monkeypatch.delenv(f"GENART_{name}", raising=False)
    return lambda name, value: monkeypatch.setenv(f"GENART_{name}", str(value))


def test_home_is_the_named_folder_and_is_made(setting, tmp_path):
    setting("HOME", tmp_path / "a" / "b")
    assert runtime.home() == (tmp_path / "a" / "b").resolve() and runtime.home().is_dir()
    assert runtime.cache_dir() == runtime.home() / "cache" and runtime.cache_dir().is_dir()


def test_home_without_a_setting_is_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GENART_HOME", "")
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "user"))
    assert runtime.home() == tmp_path / "user"


def test_a_home_that_cannot_be_made_says_which_setting_to_change(setting, tmp_path):
    (tmp_path / "file").write_text("in the way")
    setting("HOME", tmp_path / "file" / "home")
    with pytest.raises(runtime.SettingError, match="set GENART_HOME to a folder"):
        runtime.home()


def test_repo_root_is_found_and_a_wrong_one_is_named(setting, tmp_path):
    assert (runtime.repo_root() / "genart_lessons" / "runtime.py").is_file()
    setting("REPO", tmp_path)
    with pytest.raises(runtime.SettingError, match="chapters/ and data/.*GENART_REPO"):
        runtime.repo_root()
    for part in ("chapters", "data", "genart_lessons"):
        (tmp_path / part).mkdir()
    assert runtime.repo_root() == tmp_path.resolve()


def test_the_best_device_comes_first(setting, monkeypatch):
    monkeypatch.setattr(runtime, "available_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    assert runtime.device() == torch.device("cuda")
    setting("DEVICE", "cuda:1")
    assert runtime.device() == torch.device("cuda:1")
    setting("DEVICE", " CPU ")
    assert runtime.device() == torch.device("cpu")
    monkeypatch.delenv("GENART_DEVICE")
    monkeypatch.setattr(runtime, "available_devices", lambda: ["mps", "cpu"])
    assert runtime.device() == torch.device("mps")


@pytest.mark.parametrize("wrong", ["cuda:7", "gpu", "mps", "cuda", "cuda:x"])
def test_a_device_that_is_not_there_lists_what_is(setting, monkeypatch, wrong):
    monkeypatch.setattr(runtime, "available_devices", lambda: ["cpu"])
    setting("DEVICE", wrong)
    with pytest.raises(runtime.SettingError) as caught:
        runtime.device()
    assert str(caught.value) == f"GENART_DEVICE='{wrong}' is not on this machine; it has: cpu."


def test_naming_the_cpu_does_not_wake_a_gpu(setting, monkeypatch):
    monkeypatch.setattr(runtime, "available_devices", lambda: pytest.fail("it looked for GPUs"))
    setting("DEVICE", "cpu")
    assert runtime.device().type == "cpu"


def test_a_cuda_that_cannot_compute_does_not_count(monkeypatch):
    def too_old(*_, **__):
        raise RuntimeError("the driver is too old")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", too_old)
    assert not any(name.startswith("cuda") for name in runtime.available_devices())


def test_profile_and_budget(setting):
    assert (runtime.profile(), runtime.budget(1, 2)) == ("quick", 1)
    setting("PROFILE", "full")
    assert (runtime.profile(), runtime.budget(quick=1, full=2)) == ("full", 2)
    setting("PROFILE", "fast")
    with pytest.raises(runtime.SettingError, match="'fast' is unknown; it is 'quick' or 'full'"):
        runtime.budget(1, 2)


def test_seeds_make_every_generator_repeat():
    def draws():
        import random

        return random.random(), np.random.rand(), torch.rand(1).item()

    runtime.seed_everything(3)
    first = draws()
    runtime.seed_everything(3)
    assert draws() == first
    runtime.seed_everything(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))
    for wrong in (-1, 2**32, 1.5, "0"):
        with pytest.raises(ValueError, match="whole number"):
            runtime.seed_everything(wrong)


def test_atomic_write_text_and_bytes_as_they_are(tmp_path):
    target = tmp_path / "new" / "file.txt"
    runtime.atomic_write(target, "é\n")
    assert target.read_bytes() == b"\xc3\xa9\n"
    target.chmod(0o640)
    runtime.atomic_write(target, b"\x00\r\n")
    assert target.read_bytes() == b"\x00\r\n"
    assert os.name == "nt" or target.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_when_writing_fails_the_old_file_stays_and_nothing_lies_about(
    tmp_path, monkeypatch, broken
):
    target = tmp_path / "file.txt"
    runtime.atomic_write(target, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, full_disk)
    with pytest.raises(OSError, match="No space left"):
        runtime.atomic_write(target, "new")
    assert target.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    runtime.atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_describe_needs_no_gpu(setting):
    setting("DEVICE", "cpu")
    told = runtime.describe()
    assert told["device"] == "cpu" and told["device_memory_gb"] is None
    assert told["cores"] >= 1 and told["threads"] >= 1 and told["memory_gb"] > 0.1
    assert told["profile"] == "quick" and told["device_name"] and told["torch"] == torch.__version__


def test_the_package_and_the_runtime_import_without_heavy_libraries():
    code = (
        "import sys, genart_lessons; from genart_lessons import runtime; runtime.profile();"
        "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    root = Path(genart_lessons.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
