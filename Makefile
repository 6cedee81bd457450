# The one list of commands. Each says what it does and installs what it lacks; `make` lists them.

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## show a Service at work in a node in a box; ARGS="--manifests FILE" for your own
	@scripts/demo $(ARGS)

test: ## run all tests, most of them against this machine's kernel in namespaces of their own
	@scripts/test $(ARGS)

test-vm: ## run the tests that need another kernel, in a virtual machine
	@scripts/test-vm $(ARGS)

check: ## format, walls between crates, clippy, documentation, scripts
	@scripts/check

image: ## make the container image, without a container engine, and print its size
	@scripts/image

test-image: ## make the image and test it as the DaemonSet runs it
	@scripts/test-image

bench: ## measure speed and memory at 1,000, 5,000 and 20,000 services
	@scripts/bench $(ARGS)

clean: ## remove what was built
	cargo clean

.PHONY: help demo test test-vm check image test-image bench clean
