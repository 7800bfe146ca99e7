"""``pyproject.toml``, the lock, ``torch.txt`` and ``environment.yml`` say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge calls a package otherwise than PyPI
SUPPORTED = ("3.11", "3.12", "3.13")
PLATFORMS = (("linux", "Linux", "x86_64"), ("darwin", "Darwin", "arm64"), ("win32", "Windows", "AMD64"))


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[Requirement]:
    """Every dependency with every extra."""
    extras = [line for group in project()["optional-dependencies"].values() for line in group]
    return [Requirement(line) for line in project()["dependencies"] + extras]


def locked(python: str = "3.11", platform: tuple[str, str, str] = PLATFORMS[0]) -> dict[str, Version]:
    """The lock's versions that apply to one Python on one platform, and torch."""
    system, name, machine = platform
    markers = {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": system,
        "platform_system": name,
        "platform_machine": machine,
        "os_name": "nt" if system == "win32" else "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    found: dict[str, Version] = {}
    for file in ("lock.txt", "torch.txt"):
        for line in (ROOT / "requirements" / file).read_text(encoding="utf-8").splitlines():
            if re.match(r"[A-Za-z0-9]", line) and "==" in line:
                requirement = Requirement(line.rstrip(" \\"))
                if requirement.marker is None or requirement.marker.evaluate(markers):
                    key = canonicalize_name(requirement.name)
                    assert key not in found, f"{key} is locked twice for Python {python} on {name}"
                    found[key] = Version(next(iter(requirement.specifier)).version)
    return found


def environment() -> tuple[dict[str, str], dict[str, str]]:
    """Name to exact version: what conda installs, what pip installs inside it."""
    rattler = pytest.importorskip("rattler", reason="py-rattler parses the environment as conda would")
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = {}
    for line in listed:
        if isinstance(line, str):
            spec = rattler.MatchSpec(line)
            name = getattr(spec.name, "normalized", None) or str(spec.name)
            conda[name] = str(spec.version or "").lstrip("=").removesuffix(".*")
    pip = next(line["pip"] for line in listed if isinstance(line, dict))
    return conda, {canonicalize_name(Requirement(x).name): x.split("==")[1] for x in pip if not x.startswith("-")}


@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform[1])
def test_lock_satisfies_every_range_everywhere(python: str, platform: tuple[str, str, str]) -> None:
    versions = locked(python, platform)
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not locked for Python {python} on {platform[1]}: make lock"
        assert requirement.specifier.contains(versions[name]), f"{requirement} but the lock has {versions[name]}"


def test_lock_pins_hashes_and_keeps_cuda_out() -> None:
    text = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8")
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text):
        assert "--hash=sha256:" in entry, f"no hash: {entry.splitlines()[0]}"
    names = set(locked())
    assert not {name for name in names if name.startswith(("nvidia", "cuda", "triton"))}
    assert "torch" not in re.findall(r"(?m)^([\w-]+)==", text)
    assert "://" not in re.sub(r"(?m)^\s*#.*", "", text), "the lock names an index of one machine"


def test_supported_pythons_are_what_the_project_says() -> None:
    from packaging.specifiers import SpecifierSet

    allowed = SpecifierSet(project()["requires-python"])
    assert [minor for minor in range(8, 20) if allowed.contains(f"3.{minor}.0")] == [11, 12, 13]


def test_every_dependency_carries_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    for line in dependencies.splitlines():
        if line.strip().startswith('"'):
            assert re.search(r",\s*#\s*\w+", line), f"no reason beside {line.strip()}"


def test_conda_environment_has_every_dependency_at_its_locked_version() -> None:
    conda, pip = environment()
    versions = locked("3.11")
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        have = conda.get(CONDA_NAMES.get(name, name)) or pip.get(name)
        assert have, f"environment.yml lacks {name}"
        assert Version(have) == versions[name], f"environment.yml has {name} {have}, the lock {versions[name]}"


def test_conda_environment_installs_nothing_else() -> None:
    conda, pip = environment()
    known = {CONDA_NAMES.get(canonicalize_name(r.name), canonicalize_name(r.name)) for r in requirements()}
    assert set(conda) - known == {"python", "pip", "setuptools"}
    assert set(pip) - known == set()
    assert conda["python"] in SUPPORTED


def test_conda_environment_uses_conda_forge_alone() -> None:
    spec = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert spec["channels"] == ["conda-forge", "nodefaults"]
    assert spec["name"] == "alphabook"
    assert "-e ." in spec["dependencies"][-1]["pip"]
