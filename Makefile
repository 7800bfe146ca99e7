# Every target calls tools/dev.py, which needs nothing but Python (Windows: py tools\dev.py book).
PYTHON ?= python3
TASKS := setup book serve test quick lab lint format lock peers student clean help

.DEFAULT_GOAL := help
.PHONY: $(TASKS)

$(TASKS):
	@$(PYTHON) tools/dev.py $@ $(ARGS)
