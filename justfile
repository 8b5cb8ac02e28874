# Every recipe runs with the locked environment: `uv run just RECIPE`, or `just RECIPE` inside of it.

set shell := ["bash", "-euo", "pipefail", "-c"]

# Where it is set, each process compiles every module that it imports, which takes seconds of a core.
export PYTHONDONTWRITEBYTECODE := ""

# List the recipes.
default:
    @just --list

# Install the locked environment, and what the tests need of the system.
setup:
    uv sync --locked --quiet
    scripts/system-packages.sh

# Format everything.
fmt:
    ruff check --fix-only --quiet .
    ruff format --quiet .

# Fuzz what unauthenticated clients may send (websocket, metadata, keys, text, archive), guided by coverage: `just fuzz text 600`.
fuzz TARGET SECONDS="60":
    uv run --locked --with atheris python -m tests.fuzz {{ TARGET }} {{ SECONDS }}

# Known flaws of what the locks hold; it needs the network.
audit:
    for lock in uv.lock families/*/uv.lock; do uv audit --project "$(dirname "$lock")" --locked --preview-features audit-command; done

# Write the locks again: that of the workspace, and that of each family that has one of its own.
lock:
    for lock in uv.lock families/*/uv.lock; do uv lock --project "$(dirname "$lock")"; done

# Write the table of the families from what lies under families/.
families:
    python scripts/generate_families_page.py

# Formatting, style, types, import contracts, words, and whether generated files are current.
lint:
    ruff format --check .
    ruff check .
    python scripts/check_types.py
    lint-imports
    python scripts/check_family_imports.py
    python scripts/generate_families_page.py --check
    python scripts/generate_proto.py --check
    python scripts/generate_crds.py --check
    python scripts/generate_dashboards.py --check
    python scripts/set_version.py --check
    python scripts/check_words.py
    for lock in uv.lock families/*/uv.lock; do uv lock --check --quiet --project "$(dirname "$lock")"; done

# All tests, several suites at a time, or those that are named: `just test tests/unit`.
test *ARGS:
    {{ if ARGS == "" { "python -m tests.support.suites" } else { "pytest " + ARGS } }}

# What a contributor runs first, under 4 minutes: linters, types, unit tests, the mock's and Piper's contract.
test-fast: lint
    pytest -n 2 --quiet tests/unit families/kit families/piper
    pytest -n 2 --quiet tests/contract/test_adapters.py tests/contract/test_sessions.py -k "mock or piper"

# The contract suite of a family in the environment that it has for itself: `just contract NAME`.
contract FAMILY *ARGS:
    python -m tests.support.environments {{ FAMILY }} {{ ARGS }}

# A family's tests that need a GPU, on a machine that has one.
test-gpu FAMILY:
    python -m tests.support.environments {{ FAMILY }} -m gpu families/{{ FAMILY }}/tests

# First audio, RTF, barge-in and jitter, with piper-tts itself interleaved; prints tables and writes JSON.
bench *ARGS:
    python -m bench {{ ARGS }}

# Mouth to ear over WebRTC, with a plain livekit-agents session interleaved.
bench-rooms *ARGS:
    python -m bench.rooms {{ ARGS }}

# A flame graph of a worker that speaks: `just flame worker.svg 10`; more flags go to the worker.
flame OUTPUT SECONDS="10" *ARGS:
    uv run --locked --with py-spy python -m bench.flame {{ OUTPUT }} {{ SECONDS }} {{ ARGS }}

# Where the time of a torch family's model goes: `just profile-torch NAME trace.json`.
profile-torch FAMILY TRACE *ARGS:
    python -m tests.support.environments {{ FAMILY }} run -m bench.torch_profile {{ FAMILY }} {{ TRACE }} {{ ARGS }}

# The operator with 200 VoiceModels and 20 pools: reconcile times, API calls at rest.
bench-operator *ARGS:
    python -m bench.operator {{ ARGS }}

# The largest load that one worker and one orchestrator hold, and what it is that holds no more; about 4 minutes.
bench-capacity *ARGS:
    python -m bench.capacity {{ ARGS }}

# Routing with 1,000 workers and 100,000 sessions, simulated with the orchestrator's own scoring.
simulate *ARGS:
    python -m bench.simulation {{ ARGS }}

# A real stack under people who talk while workers are killed, for so many seconds: `just soak 1800`; docs/explanation/endurance.md.
soak SECONDS *ARGS:
    python -m bench.soak {{ SECONDS }} {{ ARGS }}

# Build the documentation as a site, with strict links, into site/.
docs:
    NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict

# Show the documentation at http://127.0.0.1:8000 while you write.
docs-serve:
    NO_MKDOCS_2_WARNING=1 python -m mkdocs serve

# Talk to it: everything on one box, a page at localhost.
demo *ARGS:
    voiceplane demo {{ ARGS }}

# Pictures of each state of the page, light and dark, wide and on a phone: `just screenshots [FOLDER]`.
screenshots *ARGS:
    python -m tests.e2e.screenshots {{ ARGS }}

# Generate the stubs of the ABI.
proto:
    python scripts/generate_proto.py

# Write the custom resource definitions from the models of their specs.
crds:
    python scripts/generate_crds.py

# What CI runs: set up, lint, test.
ci: setup
    python -m tests.support.suites --lint

# Build the programs of the tests' cluster, which takes minutes the first time; they are kept outside of the checkout.
cluster-build:
    python -m tests.e2e.cluster build

# Start a Kubernetes cluster and print its KUBECONFIG: kind where images can be pulled, else a node of this machine's own.
cluster-up *ARGS:
    python -m tests.e2e.cluster up {{ ARGS }}

# End the cluster.
cluster-down *ARGS:
    python -m tests.e2e.cluster down {{ ARGS }}

# docker-compose.yml on a Docker engine of its own, with images of this checkout.
compose-smoke:
    pytest tests/e2e/test_compose.py

# Build the images, or those that are named, and give them to the cluster that is up.
images *NAMES:
    built="$(images/build {{ NAMES }})"; python -m tests.e2e.cluster load $built
