"""What is refused before anything is fetched, and how many bytes that costs."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import pytest
from voiceplane_common.clock import SystemClock
from voiceplane_common.errors import VoiceplaneError, failed_precondition
from voiceplane_worker.adapters.devices import device_problem
from voiceplane_worker.adapters.family import Family
from voiceplane_worker.adapters.mock import FAMILY
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.metadata import IndexedFile, PackSource
from voiceplane_worker.residency.load_check import LoadCheck, estimate_memory_bytes
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.residency.pack_loader import PackLoader
from voiceplane_worker.settings import ModelManagerSection

from tests.support import file_server
from tests.support.file_server import Served
from tests.support.voicepacks import pack_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.file_server import FileServer

CAP_BYTES = 1_000_000
WEIGHTS = bytes(2 * CAP_BYTES)


@pytest.fixture(scope="module")
def localhost(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return file_server.certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def web(localhost: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("SSL_CERT_FILE", localhost["ca_file"])
    with file_server.file_server(localhost) as running:
        yield running


class Bench:
    """A worker's manager that loads from the web."""

    def __init__(self, tmp_path: Path, *, cap: int = CAP_BYTES, **limits: Any) -> None:
        packs = tmp_path / "packs"
        packs.mkdir(exist_ok=True)
        check = LoadCheck(device="cpu", memory_cap_bytes=lambda: cap)
        self.manager = ModelManager(
            settings=ModelManagerSection(default_model_id="", memory_cap_bytes=cap, **limits),
            catalog=PackCatalog(packs),
            loader=PackLoader(device="cpu", threads=1, cache_dir=tmp_path / "cache", load_check=check),
            clock=SystemClock(),
            check=check,
        )

    async def refused(self, spec: ModelSpec) -> VoiceplaneError:
        began_s = time.monotonic()
        with pytest.raises(VoiceplaneError) as caught:
            await self.manager.load(spec)
        assert time.monotonic() - began_s < 1.0
        return caught.value


def serve(web: FileServer, *, weights: bytes = WEIGHTS, **changes: Any) -> ModelSpec:
    """A pack on the web; only its metadata.yaml may be fetched by a refusal."""
    files = {"metadata.yaml": pack_yaml("voice", **changes), "model.safetensors": weights}
    for name, body in files.items():
        web.files[f"/voice/{name}"] = Served(body=body)
    index = tuple(IndexedFile(name=name, sha256=hashlib.sha256(body).hexdigest()) for name, body in files.items())
    return ModelSpec(model_id="voice", source=PackSource(uri=f"{web.url}/voice/", index=index))


@pytest.mark.parametrize(
    ("changes", "reason", "remedy"),
    [
        ({"family": "nowhere"}, "FAMILY_NOT_INSTALLED", "pip install voiceplane-family-nowhere"),
        ({"licence": "CPML"}, "LICENCE_NOT_ACCEPTED", "worker.accept_licences"),
        ({"memory_bytes": 3 * CAP_BYTES}, "MODEL_TOO_LARGE", "memory_cap_bytes"),
        ({}, "MODEL_TOO_LARGE", "memory_cap_bytes"),
    ],
)
async def test_a_refusal_fetches_no_weights(
    web: FileServer, tmp_path: Path, changes: dict[str, Any], reason: str, remedy: str
) -> None:
    bench = Bench(tmp_path)
    error = await bench.refused(serve(web, **changes))
    assert error.reason == reason
    assert remedy in error.message
    assert web.files["/voice/model.safetensors"].sent == 0
    (status,) = bench.manager.statuses()
    assert (status.state, status.unloadable, status.message) == (ModelState.FAILED, True, error.message)
    await bench.manager.close()


async def test_a_family_that_the_caller_names_is_refused_without_a_byte(web: FileServer, tmp_path: Path) -> None:
    spec = serve(web)
    error = await Bench(tmp_path).refused(ModelSpec(model_id="voice", source=spec.source, family="nowhere"))
    assert error.reason == "FAMILY_NOT_INSTALLED"
    assert (web.sent_bytes, web.asked) == (0, [])


async def test_what_fits_is_fetched_once_with_its_description(web: FileServer, tmp_path: Path) -> None:
    bench = Bench(tmp_path, cap=4 * CAP_BYTES)
    spec = serve(web)
    assert (await bench.manager.load(spec)).state is ModelState.RESIDENT
    assert web.sent_bytes == sum(len(served.body) for served in web.files.values())
    await bench.manager.close()


async def test_a_source_slower_than_the_load_timeout_becomes_resident(web: FileServer, tmp_path: Path) -> None:
    bench = Bench(tmp_path, cap=4 * CAP_BYTES, load_timeout_ms=200)
    spec = serve(web, weights=WEIGHTS[:500_000])
    web.files["/voice/model.safetensors"].bytes_per_s = 500_000
    status = await bench.manager.load(spec)
    assert (status.state, status.load_duration_ms > 800) == (ModelState.RESIDENT, True)
    await bench.manager.close()


async def test_a_catalog_says_what_can_never_be_loaded(tmp_path: Path) -> None:
    packs: dict[str, dict[str, Any]] = {
        "good": {},
        "odd": {"family": "nowhere"},
        "large": {"memory_bytes": 2 * CAP_BYTES},
    }
    for name, changes in packs.items():
        folder = tmp_path / "packs" / "mock" / name
        folder.mkdir(parents=True)
        (folder / "metadata.yaml").write_bytes(pack_yaml(name, **changes))
    bench = Bench(tmp_path)
    told = {status.model_id: (status.unloadable, status.reason) for status in bench.manager.statuses()}
    assert told == {
        "good": (False, ""),
        "odd": (True, "FamilyNotInstalled"),
        "large": (True, "ModelTooLarge"),
    }
    with pytest.raises(VoiceplaneError, match="pip install"):
        await bench.manager.acquire("odd")
    await bench.manager.close()


def test_a_device_that_is_not_there_is_refused_where_the_family_uses_it(tmp_path: Path) -> None:
    gpu_family = Family(traits=FAMILY.traits, module="none", adapter="None")
    families = {"gpu": gpu_family, "mock": FAMILY}
    check = LoadCheck(
        device="cuda:0",
        family_of=families.__getitem__,
        problem_of_device=lambda device: device_problem(device, root=tmp_path),
    )
    problem = check.problem("gpu")
    assert problem
    assert problem.reason == "DEVICE_UNAVAILABLE"
    assert check.problem("mock") is None


def test_any_sign_of_a_driver_is_enough(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert device_problem("cuda:3", root=tmp_path) is None
    assert device_problem("cpu", root=tmp_path / "none") is None
    for name in ("cuda:x", "cuda:", "tpu"):
        assert device_problem(name, root=tmp_path)


def test_a_family_is_looked_up_once() -> None:
    asked: list[str] = []

    def lookup(name: str) -> Family:
        asked.append(name)
        raise failed_precondition("FAMILY_NOT_INSTALLED", "no")

    check = LoadCheck(device="cpu", family_of=lookup)
    assert check.problem("x")
    assert check.problem("x")
    assert asked == ["x"]


@pytest.mark.parametrize(
    ("files", "device", "options", "least"),
    [
        ({"a.safetensors": 8, "b.safetensors": 8, "c.pt": 100, "d.txt": 9}, "cpu", {}, 16),
        ({"a.safetensors": 16}, "cuda:0", {}, 8),
        ({"a.safetensors": 16}, "cuda:0", {"dtype": "float32"}, 16),
        ({"a.pth": 16, "x.onnx": 4}, "cuda", {}, 12),
        ({"archive.tar.gz": 16}, "cpu", {}, 0),
    ],
)
def test_the_least_memory_follows_from_the_weights(
    files: dict[str, int], device: str, options: dict[str, str], least: int
) -> None:
    assert estimate_memory_bytes(files, device=device, options=options) == least
