# make demo   train, measure and show a model, from nothing
# make test   run every test
# make test-quick   all but the files that take longest: under 3 minutes on two cores
# make lab    open JupyterLab at the start page
# make notebooks   run all notebooks again and store what they show; COURSE=FILE: with another
#                  model or other images, into runs/notebooks
# make student   the notebooks without answers, with them, and for nbgrader, in EDITIONS
# make chinese   the notebooks in Chinese, in notebooks/zh
# make slides   a slide show of each notebook's headings and pictures, in runs/slides/en and
#               runs/slides/zh
# make site   the course, the guides and the reference as pages, in runs/site/en and runs/site/zh;
#             SITE="--language en" for one of them (Python 3.11 or newer)
# make wheel  the package, its notebooks and the course's model in one file, in dist/
# make test-paddle26   the package's tests, and the demo, with Paddle 2.6.2
#
# Everything is installed into .venv; PYTHON chooses the interpreter (3.10 to 3.13).
# PADDLE=gpu installs the GPU build that this machine's card and driver can run;
# GPU_BUILD=cu118 (or cu126, cu129, cu130) chooses another: the table is in docs/machines.md.

PYTHON ?= python3
PADDLE ?= cpu
EXTRAS ?= lab,test,onnx
MINUTES ?= 4.75
WORKERS ?= 2
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check -c $(CONSTRAINTS)
ifeq ($(PADDLE),gpu)
ifndef GPU_BUILD
GPU_BUILD := $(shell $(PYTHON) -m maskrcnn_edu.system.gpu_builds)
endif
ifeq ($(GPU_BUILD),)
$(error PADDLE=gpu: no build is known for this machine (the reason is above). Choose one with GPU_BUILD=cu126, as docs/machines.md says)
endif
INSTALL += --extra-index-url https://www.paddlepaddle.org.cn/packages/stable/$(GPU_BUILD)/
endif
# Files go to WORKERS processes, each with one thread: faster than one test with two threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist loadfile
SHAPES := data/shapes
RUN ?= runs/demo
EDITIONS ?= runs/editions
VAL := --json $(SHAPES)/annotations/instances_val.json --images $(SHAPES)/val

# Files that train, export or break something for minutes; `make test` runs them too.
SLOW := inference/test_export.py inference/test_predict.py training/test_checkpoint.py \
  training/test_run.py training/test_distributed.py data/test_fuzz.py parity/test_whole.py \
  benchmarks/test_bench.py teaching/widgets/test_roi_align.py cli/test_installed.py \
  notebooks/test_second_model.py notebooks/test_few_images.py

.PHONY: demo test test-quick test-package test-notebooks test-paddle26 lab notebooks student chinese slides site wheel clean

demo: $(VENV)/ready $(SHAPES)/annotations/instances_val.json
	$(BIN)/maskrcnn-edu train --config shapes_fpn --minutes $(MINUTES) --out $(RUN) --overwrite \
	  --train-json $(SHAPES)/annotations/instances_train.json --train-images $(SHAPES)/train \
	  --val-json $(SHAPES)/annotations/instances_val.json --val-images $(SHAPES)/val
	$(BIN)/maskrcnn-edu eval --weights $(RUN) $(VAL) --out $(RUN)/eval
	$(BIN)/maskrcnn-edu predict --weights $(RUN) --out $(RUN)/pictures $(SHAPES)/val/00000*.png
	@echo; echo "the run in $(RUN), trained $$(date -r $(RUN)/model.safetensors +'%F %T'):"
	@echo "AP table: $(RUN)/eval/ap.txt   pictures: $(RUN)/pictures   losses: $(RUN)/curves.png"

test: test-package test-notebooks

test-package: $(VENV)/ready-tools
	$(PYTEST)

test-quick: $(VENV)/ready-tools
	$(PYTEST) $(SLOW:%=--ignore=tests/%)

# What the notebooks print, against what is stored in them (made with Paddle 3).
test-notebooks: $(VENV)/ready-tools
	$(PYTEST) --nbval notebooks

# The last 2.x, from the ordinary index (code for GPUs from 6.1 to 8.6); without a GPU, the CPU.
test-paddle26:
	mkdir -p runs
	sed 's/^paddlepaddle-gpu==.*/paddlepaddle-gpu==2.6.2/; s/^numpy==.*/numpy==1.26.4/' \
	  constraints.txt > runs/constraints-paddle26.txt
	$(MAKE) test-package demo VENV=.venv-paddle26 PADDLE=gpu26 EXTRAS=lab,test RUN=runs/demo-paddle26 \
	  CONSTRAINTS=runs/constraints-paddle26.txt

lab: $(VENV)/ready-tools
	$(BIN)/jupyter trust notebooks/*.ipynb > /dev/null  # else JupyterLab stops the time machines
	$(BIN)/jupyter lab notebooks/start.ipynb

# Run all notebooks again and store what they show; on the CPU, one thread, as the tests do.
# With COURSE (a course's name or file) on whatever device there is, and the stored ones stay.
EXECUTE := $(BIN)/jupyter nbconvert --to notebook --execute --ExecutePreprocessor.record_timing=False
notebooks: $(VENV)/ready-tools
ifdef COURSE
	MASKRCNN_EDU_COURSE=$(or $(realpath $(COURSE)),$(COURSE)) $(EXECUTE) \
	  --ExecutePreprocessor.timeout=-1 --output-dir runs/notebooks notebooks/[0-9][0-9]_*.ipynb
else
	OMP_NUM_THREADS=1 MASKRCNN_EDU_DEVICE=cpu $(EXECUTE) --inplace notebooks/[0-9][0-9]_*.ipynb
endif

student: $(VENV)/ready
	$(BIN)/python -m instructor.editions $(EDITIONS)

# From the catalogues in docs/locale; `python -m tools.catalogues update` takes changed texts in.
chinese: $(VENV)/ready-tools
	@test ! -e notebooks/zh || { echo "notebooks/zh is there, perhaps with your changes: rename it, or remove it"; exit 1; }
	rm -rf runs/zh
	$(BIN)/python -m tools.catalogues build runs/zh
	cp -r runs/zh/notebooks notebooks/zh
	$(BIN)/jupyter trust notebooks/zh/*.ipynb > /dev/null

slides: $(VENV)/ready-tools
	$(BIN)/python -m instructor.slides runs/slides
	for language in en zh; do $(BIN)/jupyter nbconvert --log-level=ERROR --to slides \
	  --SlidesExporter.language_code=$$language runs/slides/$$language/*.ipynb || exit 1; done

site: $(VENV)/ready-site
	$(BIN)/python -m tools.website runs/site $(SITE)

# build/ keeps files that are gone from the source, so nothing may be left of it.
wheel: $(VENV)/ready
	rm -rf build
	$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir dist .
	rm -rf build

clean:
	rm -rf $(VENV) runs build dist $(SHAPES)

$(VENV)/ready: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[$(PADDLE)]"
	touch $@

$(VENV)/ready-tools: $(VENV)/ready
	$(INSTALL) -e ".[$(PADDLE),$(EXTRAS)]"
	touch $@

$(VENV)/ready-site: $(VENV)/ready-tools
	$(INSTALL) -e ".[$(PADDLE),$(EXTRAS),site]"
	touch $@

$(SHAPES)/annotations/instances_val.json: | $(VENV)/ready
	$(BIN)/maskrcnn-edu data shapes --out $(SHAPES)
