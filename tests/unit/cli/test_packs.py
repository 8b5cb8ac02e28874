"""`voiceplane packs`: what it finds, what it refuses, and what it writes."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from voiceplane_cli import packs_app
from voiceplane_common.artifacts import digest
from voiceplane_worker.packs.catalog import PackCatalog, shipped_packs
from voiceplane_worker.packs.licences import non_commercial
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec

from tests.support import file_server
from tests.support.artifacts import left_in, tree_of, write_package, write_tree
from tests.support.file_server import Served
from tests.support.voicepacks import pack_yaml, packs_as_json, run_packs, write_pack

EXAMPLES = Path(__file__).parents[3] / "examples" / "voicepacks"
PIPER_FILES = {"en.onnx": b"model", "en.onnx.json": b"{}"}
PIPER_FLAGS = ("--model-id", "en", "--family", "piper", "--licence", "CC0-1.0", "--voice", "joe=en-US")


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A folder of packs with one that lies in its folder."""
    write_pack(tmp_path / "packs" / "mock" / "here", "here")
    return tmp_path / "packs"


def write_metadata(packs: Path, place: str, text: bytes | str) -> None:
    write_tree(packs, {f"{place}/metadata.yaml": text if isinstance(text, bytes) else text.encode()})


# list


def test_list_tells_family_licence_source_and_whether_the_files_are_here(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    write_package(site, "part_one", {"model.part1": b"a"})
    write_package(site, "part_two", {"model.part2": b"b"})
    monkeypatch.syspath_prepend(site)
    joined = {"uri": "package:part_one+part_two"}
    far = {"uri": "s3://voices/far", "sha256": "0" * 64}
    write_pack(packs / "mock" / "joined", "joined", source=joined, licence="CC-BY-4.0")
    write_pack(packs / "mock" / "far", "far", source=far)
    write_pack(packs / "mock" / "gone", "gone", source={"uri": "package:no_such_package/data"})

    listed = {pack["model_id"]: pack for pack in packs_as_json("list", "--packs-dir", packs)["packs"]}
    assert {name: pack["state"] for name, pack in listed.items()} == {
        "here": "here", "joined": "not fetched", "far": "not fetched", "gone": "missing",
    }  # fmt: skip
    assert "'no_such_package' is not installed" in listed["gone"]["message"]
    assert (listed["joined"]["family"], listed["joined"]["licence"]) == ("mock", "CC-BY-4.0")
    assert (listed["far"]["source"], listed["far"]["sha256"]) == (far["uri"], far["sha256"])
    assert listed["here"]["folder"] == str(packs / "mock" / "here")

    open_pack(ModelSpec(model_id="joined"), PackCatalog(packs).find("joined"))
    listed = {pack["model_id"]: pack for pack in packs_as_json("list", "--packs-dir", packs)["packs"]}
    assert listed["joined"]["state"] == "here"


def test_list_is_a_table_for_people(packs: Path) -> None:
    write_pack(packs / "mock" / "gone", "gone", source={"uri": "package:no_such_package/data"})
    result = run_packs("list", "--packs-dir", packs)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["model", "family", "licence", "state", "source"]
    assert any(line.split()[:4] == ["here", "mock", "CC0-1.0", "here"] for line in lines)
    assert "gone is missing: the Python package" in result.stdout


def test_without_a_folder_the_packs_that_come_with_voiceplane_are_listed() -> None:
    listed = packs_as_json("list")["packs"]
    assert {pack["model_id"] for pack in listed} == set(PackCatalog().model_ids)


@pytest.mark.parametrize("command", ["list", "lint", "verify"])
def test_a_folder_that_is_not_there_is_wrong_usage(command: str, tmp_path: Path) -> None:
    result = run_packs(command, "--packs-dir", tmp_path / "no")
    assert result.exit_code == 2
    assert "is not a folder: correct --packs-dir" in result.stderr


# lint


def test_the_packs_that_come_with_voiceplane_have_no_problems() -> None:
    assert packs_as_json("lint") == {"ok": True, "packs": len(PackCatalog().model_ids), "problems": []}


def test_the_packs_of_public_models_have_no_problems_and_may_be_used_commercially() -> None:
    assert packs_as_json("lint", "--packs-dir", EXAMPLES)["problems"] == []
    packs = packs_as_json("list", "--packs-dir", EXAMPLES)["packs"]
    assert {pack["state"] for pack in packs if pack["source"].startswith("hf://")} == {"not fetched"}
    others = [pack["model_id"] for pack in packs if not pack["source"].startswith("hf://")]
    assert others == ["sesame-unsloth-lora01"], "whose adapter is the user's own"
    assert [pack["model_id"] for pack in packs if non_commercial(pack["licence"])] == []


@pytest.mark.parametrize("folder", [shipped_packs(), EXAMPLES], ids=["shipped", "examples"])
def test_a_pack_says_which_release_it_means_and_which_of_its_files(folder: Path) -> None:
    catalog = PackCatalog(folder)
    for model_id in catalog.model_ids:
        pack = catalog.find(model_id)
        assert pack
        source = pack.metadata.source
        if source and source.uri.startswith("hf:"):
            assert source.index or re.search(r"@([0-9a-f]{40}|v\d+\.\d+\.\d+)(/|$)", source.uri), model_id
            assert source.index or source.include, model_id
        elif source and not source.uri.startswith("file:"):
            assert source.sha256, model_id


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        ("mock/v", pack_yaml("v", licence=""), "key 'licence': String should have at least 1 character"),
        ("mock/v", pack_yaml("v", colour="red"), "has an unknown key 'colour': remove it or correct its name"),
        ("mock/v", "a: [", "is not YAML"),
        ("mock/v", pack_yaml("w"), "model_id 'w' is not the folder's name: rename the folder, or correct model_id"),
        ("piper/v", pack_yaml("v"), "family 'mock' is not the folder's name: move it to mock/v"),
        ("tones/v", pack_yaml("v", family="tones"), "family 'tones' is unknown: "),
        ("mock/v", pack_yaml("v", source={"uri": "ftp://x/y"}), "source.uri: 'ftp://x/y' begins with none of file:"),
        ("mock/v", pack_yaml("v", files={"model": "m"}), "files.model names 'm', which the pack does not have"),
        ("v", pack_yaml("v"), "no worker finds it here: a pack is FAMILY/NAME/metadata.yaml"),
        ("mock/more/v", pack_yaml("v"), "no worker finds it here: a pack is FAMILY/NAME/metadata.yaml"),
    ],
)  # fmt: skip
def test_lint_names_the_file_and_the_mistake(place: str, text: bytes | str, message: str, packs: Path) -> None:
    write_metadata(packs, place, text)
    (problem,) = packs_as_json("lint", "--packs-dir", packs, code=1)["problems"]
    assert problem["pack"] == f"{place}/metadata.yaml"
    assert message in problem["message"]
    assert f"{place}/metadata.yaml: {problem['message']}" in run_packs("lint", "--packs-dir", packs).stdout


def test_lint_names_both_packs_of_one_model(packs: Path) -> None:
    write_pack(packs / "mock" / "v", "here")
    problems = packs_as_json("lint", "--packs-dir", packs, code=1)["problems"]
    assert [problem["message"] for problem in problems] == [
        "model_id 'here' is not the folder's name: rename the folder, or correct model_id",
        "model_id 'here' is that of mock/here/metadata.yaml: change one",
    ]


def test_lint_accepts_metadata_that_the_files_of_a_pack_bring(packs: Path) -> None:
    write_metadata(packs, "mock/here/original", pack_yaml("other"))
    assert packs_as_json("lint", "--packs-dir", packs)["problems"] == []


def test_lint_does_not_mind_what_only_this_machine_lacks(packs: Path, cache_dir: Path) -> None:
    write_pack(packs / "mock" / "v", "v", source={"uri": "package:no_such_package/data"})
    write_pack(packs / "mock" / "w", "w", source={"uri": "hf://unknown/nothing"})
    assert packs_as_json("lint", "--packs-dir", packs)["ok"] is True
    assert left_in(cache_dir) == []


def test_a_folder_without_packs_is_a_problem(tmp_path: Path) -> None:
    problems = packs_as_json("lint", "--packs-dir", tmp_path, code=1)["problems"]
    assert problems == [{"pack": ".", "message": "no pack here: a pack is FAMILY/NAME/metadata.yaml"}]


# verify


def test_verify_compares_the_digest_that_is_stated(packs: Path, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", {"model": b"model"})
    write_pack(packs / "mock" / "right", "right", source={"uri": files.as_uri(), "sha256": digest(files)})
    write_pack(packs / "mock" / "wrong", "wrong", source={"uri": files.as_uri(), "sha256": "0" * 64})
    found = packs_as_json("verify", "--packs-dir", packs, code=1)
    verdicts = {pack["model_id"]: pack for pack in found["packs"]}
    assert found["ok"] is False
    assert {name: each["state"] for name, each in verdicts.items()} == {
        "here": "ok", "right": "ok", "wrong": "failed",
    }  # fmt: skip
    assert verdicts["right"]["sha256"] == digest(files)
    assert digest(files) in verdicts["wrong"]["message"]


def test_verify_prints_the_digest_of_a_pack_that_states_none(packs: Path, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", {"model": b"model"})
    write_pack(packs / "mock" / "v", "v", source={"uri": files.as_uri()})
    result = run_packs("verify", "v", "--packs-dir", packs)
    assert result.exit_code == 0
    assert f"v: write source.sha256: {digest(files)}" in result.stdout
    assert "here" not in result.stdout


@pytest.mark.parametrize("command", ["prefetch", "add"])
def test_a_remote_source_is_fetched_once(
    command: str, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_tree(tmp_path / "store", {"metadata.yaml": pack_yaml("v"), "model": b"model"})
    certificates = file_server.certificates(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca_file"])
    with tarfile.open(tmp_path / "v.tar", "w") as archive:
        archive.add(store, ".")
    body = (tmp_path / "v.tar").read_bytes()
    with file_server.file_server(certificates) as web:
        web.files["/v.tar"] = Served(body)
        uri = f"{web.url}/v.tar"
        sha256 = digest(tmp_path / "v.tar")
        if command == "prefetch":
            write_pack(packs / "mock" / "v", "v", source={"uri": uri})
            (verdict,) = packs_as_json("verify", "v", "--packs-dir", packs, code=1)["packs"]
            assert verdict["state"] == "not fetched"
            assert f"voiceplane packs prefetch {packs / 'mock' / 'v'}" in verdict["message"]
            assert web.asked == []
            assert packs_as_json("prefetch", "v", "--packs-dir", packs)["packs"][0]["state"] == "here"
            (verdict,) = packs_as_json("verify", "v", "--packs-dir", packs)["packs"]
            assert (verdict["state"], verdict["sha256"]) == ("no digest", sha256)
        else:
            assert packs_as_json("add", uri, "--packs-dir", packs)["sha256"] == sha256
        assert web.sent_bytes == len(body)


def test_verify_sees_that_the_cache_has_changed(
    packs: Path, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path / "site", "part_one", {"model.part1": b"a", "model.part2": b"b"})
    monkeypatch.syspath_prepend(tmp_path / "site")
    stated = digest(write_tree(tmp_path / "joined", {"model": b"ab"}))
    write_pack(packs / "mock" / "v", "v", source={"uri": "package:part_one", "sha256": stated})
    assert packs_as_json("prefetch", "v", "--packs-dir", packs)["ok"] is True
    assert packs_as_json("verify", "v", "--packs-dir", packs)["ok"] is True
    (file,) = (path for path in (cache_dir / "artifacts").rglob("model"))
    file.write_bytes(b"rotten")
    (verdict,) = packs_as_json("verify", "v", "--packs-dir", packs, code=1)["packs"]
    assert (verdict["state"], verdict["sha256"]) == ("failed", digest(file.parent))
    assert f"{file.parent}: its content has changed" in verdict["message"]
    name = packs / "mock" / "v"
    assert f"voiceplane packs verify {name} --remove, then voiceplane packs prefetch {name}" in verdict["message"]
    packs_as_json("verify", "v", "--packs-dir", packs, "--remove", code=1)
    packs_as_json("prefetch", "v", "--packs-dir", packs)
    assert packs_as_json("verify", "v", "--packs-dir", packs)["ok"] is True


def test_verify_refuses_an_archive_of_another_content(packs: Path, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "v", {"metadata.yaml": pack_yaml("v"), "model": b"model"})
    with tarfile.open(tmp_path / "v.tar", "w") as archive:
        archive.add(folder, "v")
    stated = digest(tmp_path / "v.tar")
    write_pack(packs / "mock" / "v", "v", source={"uri": (tmp_path / "v.tar").as_uri(), "sha256": stated})
    (verdict,) = packs_as_json("verify", "v", "--packs-dir", packs)["packs"]
    assert (verdict["state"], verdict["sha256"]) == ("ok", stated)
    (tmp_path / "v.tar").write_bytes(b"another")
    (verdict,) = packs_as_json("verify", "v", "--packs-dir", packs, code=1)["packs"]
    assert digest(tmp_path / "v.tar") in verdict["message"]


def test_verify_checks_what_a_worker_would(packs: Path, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", {"weights.pt": b"x"})
    write_pack(packs / "mock" / "v", "v", source={"uri": files.as_uri()})
    (verdict,) = packs_as_json("verify", "v", "--packs-dir", packs, code=1)["packs"]
    assert "allow_pickle" in verdict["message"]


def test_verify_accepts_any_licence_since_it_uses_nothing(packs: Path) -> None:
    write_pack(packs / "mock" / "v", "v", licence="CC-BY-NC-4.0")
    assert packs_as_json("verify", "v", "--packs-dir", packs)["ok"] is True


def test_an_unknown_model_is_named_with_those_that_there_are(packs: Path) -> None:
    result = run_packs("verify", "unknown", "--packs-dir", packs)
    assert result.exit_code == 2
    assert "has no pack of unknown: it has here" in result.stderr


# add


def test_add_writes_a_pack_that_a_worker_opens(packs: Path, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", PIPER_FILES)
    told = packs_as_json("add", files.as_uri(), "--packs-dir", packs, *PIPER_FLAGS, "--description", "Joe.")
    file = packs / "piper" / "en" / "metadata.yaml"
    assert told == {"file": str(file), "model_id": "en", "sha256": digest(files)}
    assert yaml.safe_load(file.read_text()) == {
        "model_id": "en",
        "family": "piper",
        "description": "Joe.",
        "licence": "CC0-1.0",
        "source": {"uri": files.as_uri(), "sha256": digest(files)},
        "voices": [{"name": "joe", "language": "en-US"}],
        "files": {"model": "en.onnx", "config": "en.onnx.json"},
    }
    assert packs_as_json("lint", "--packs-dir", packs)["ok"] is True
    assert open_pack(ModelSpec(model_id="en"), PackCatalog(packs).find("en")).path == files


def test_add_allows_a_pickle_by_name(packs: Path, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", {"k.onnx": b"model", "voices.bin": b"npz"})
    flags = ("--model-id", "k", "--family", "kokoro", "--licence", "Apache-2.0", "--voice", "af_heart=en-US")
    named = (*flags, "--file", "voices=voices.bin", "--allow-pickle", "voices.bin")
    packs_as_json("add", files.as_uri(), "--packs-dir", packs, *named)
    values = yaml.safe_load((packs / "kokoro" / "k" / "metadata.yaml").read_text())
    assert values["allow_pickle"] == ["voices.bin"]
    assert values["files"] == {"model": "k.onnx", "voices": "voices.bin"}


def test_add_takes_what_the_source_says_of_itself(packs: Path, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "v", {"metadata.yaml": pack_yaml("v", licence="CC-BY-4.0"), "model": b"m"})
    with tarfile.open(tmp_path / "v.tar.gz", "w:gz") as archive:
        archive.add(folder, "v")
    archived = tmp_path / "v.tar.gz"
    packs_as_json("add", archived.as_uri(), "--packs-dir", packs)
    values = yaml.safe_load((packs / "mock" / "v" / "metadata.yaml").read_text())
    assert values["licence"] == "CC-BY-4.0"
    assert values["source"] == {"uri": archived.as_uri(), "sha256": digest(archived)}
    assert packs_as_json("verify", "v", "--packs-dir", packs)["ok"] is True


def test_add_never_overwrites(packs: Path, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "files", PIPER_FILES)
    arguments = ("add", files.as_uri(), "--packs-dir", packs, *PIPER_FLAGS)
    packs_as_json(*arguments)
    before = tree_of(packs)
    write_tree(tmp_path / "files", {"en.onnx": b"newer"})
    result = run_packs(*arguments)
    assert result.exit_code == 2
    assert "is there already: remove it, or choose another --model-id" in result.stderr
    assert tree_of(packs) == before


@pytest.mark.parametrize(
    ("flags", "files", "message"),
    [
        ((), PIPER_FILES, "give --model-id, --family, --licence, --voice"),
        (PIPER_FLAGS[2:], PIPER_FILES, "give --model-id"),
        ((*PIPER_FLAGS, "--model-id", "a b"), PIPER_FILES, "model_id: String should match pattern"),
        ((*PIPER_FLAGS, "--voice", "bob=x"), PIPER_FILES, "voices.1.language"),
        ((*PIPER_FLAGS, "--voice", "bob"), PIPER_FILES, "--voice 'bob' is not NAME=VALUE, such as joe=en-US"),
        ((*PIPER_FLAGS, "--file", "model="), PIPER_FILES, "--file 'model=' is not NAME=VALUE"),
        (PIPER_FLAGS, {"en.onnx": b""}, "0 of its files end in .onnx.json: say which one with --file config=PATH"),
        (PIPER_FLAGS, {**PIPER_FILES, "b.onnx": b""}, "2 of its files end in .onnx: say which one with --file model="),
        ((), {"metadata.yaml": b"a: ["}, "is not YAML"),
        (("--family", "mock"), {"metadata.yaml": pack_yaml("v")}, "brings its own metadata.yaml: leave --family out"),
        ((*PIPER_FLAGS, "--file", "model=x.onnx"), PIPER_FILES, "files.model names 'x.onnx'"),
        (PIPER_FLAGS, {**PIPER_FILES, "x.pt": b""}, "allow_pickle"),
    ],
)  # fmt: skip
def test_add_writes_nothing_when_something_is_wrong(
    flags: tuple[str, ...], files: dict[str, bytes], message: str, packs: Path, tmp_path: Path
) -> None:
    before = tree_of(packs)
    source = write_tree(tmp_path / "files", files)
    result = run_packs("add", source.as_uri(), "--packs-dir", packs, *flags)
    assert result.exit_code in {1, 2}
    assert message in result.stderr
    assert tree_of(packs) == before
    assert not (packs / "piper").exists()


def test_add_says_where_it_cannot_write(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "files", PIPER_FILES)
    (tmp_path / "packs").write_bytes(b"a file")
    result = run_packs("add", source.as_uri(), "--packs-dir", tmp_path / "packs", *PIPER_FLAGS)
    assert result.exit_code == 1
    assert f"cannot write {tmp_path / 'packs'}" in result.stderr


# Where it runs


def test_it_says_what_to_install_where_there_is_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs_app, "NEEDED", "no_such_module")
    result = run_packs("list")
    assert result.exit_code == 1
    assert "pip install voiceplane-worker" in result.stderr


def test_no_model_library_is_loaded(packs: Path) -> None:
    heavy = ("onnxruntime", "onnx", "piper", "kokoro_onnx", "phonemizer", "torch", "scipy", "soxr")
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom voiceplane_cli.main import app\n"
        f"result = CliRunner().invoke(app, ['packs', 'verify', '--packs-dir', {str(packs)!r}])\n"
        "assert result.exit_code == 0, result.output\n"
        f"loaded = sorted(set({heavy!r}) & sys.modules.keys())\nassert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
