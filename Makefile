# Two commands: `make run` for people, `make test` for those who change Vibe.
PYTHON ?=
export PYTHON
bin = .venv/bin

.PHONY: run test setup check boxes lock clean

run: ## Everything a fresh machine needs, then the UI at http://vibe.localhost:8501
	@tools/prepare environment
	@$(bin)/python -m vibe setup || echo "  Vibe starts all the same: it will write apps, but can't run them."
	@exec $(bin)/python -m vibe serve

test: ## Everything the tests need, then all of them, the fast ones first and two at a time
	@tools/prepare environment dev
	@$(MAKE) --no-print-directory --jobs=2 check boxes
	$(bin)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

boxes: # What the tests need beside the environment
	@tools/prepare chromium
	@$(bin)/python -m vibe setup || case ",$$VIBE_REQUIRE," in *,docker,*) exit 1;; esac
	@VIBE_ENGINE=bubblewrap $(bin)/python -m vibe setup || echo "  The tests of bubblewrap will be skipped."

check: ## Style and types
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

setup: ## The environment, the engine and the images, without serving
	@tools/prepare environment
	@$(bin)/python -m vibe setup

# The locks name no index: the one in use is the machine's (UV_INDEX_URL, PIP_INDEX_URL).
compile = $(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(UPGRADE)

lock: ## The locks anew from pyproject.toml and sandboxes/*.in (UPGRADE=--upgrade for newer pins)
	$(compile) pyproject.toml -o requirements.lock
	$(compile) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	for name in python browser uv; do \
	  $(compile) sandboxes/$$name-requirements.in -o sandboxes/$$name-requirements.txt || exit 1; \
	done
	$(bin)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header \
	  --annotation-style=line -c sandboxes/python-requirements.txt sandboxes/python-requirements.in \
	  -o sandboxes/python-wanted-by.txt

clean: ## What the two commands made in this folder; images and the gallery stay
	rm -rf .venv .state .pytest_cache .mypy_cache .ruff_cache .hypothesis test-results
