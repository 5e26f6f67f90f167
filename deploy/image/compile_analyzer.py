"""Compiles GoogleSQL's analyzer for every processor of this architecture: `python compile_analyzer.py FOLDER`.

`module.py` (convergence_assets/warehouse/googlesql) lies beside this file, so that only its changes compile it anew.
Compiled for the processor of the machine that builds the image, another one may not load it.
"""

import platform
import sys
from pathlib import Path

import module
import wasmtime

TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
for_this_processor = module.engine


def for_every_processor() -> wasmtime.Engine:
    """The engine of `module.py`, with nothing but what the architecture itself requires."""
    config = wasmtime.Config()
    config.shared_memory = True
    config.epoch_interruption = True
    config.target = TARGETS[platform.machine()]
    return wasmtime.Engine(config)


if __name__ == "__main__":
    module.engine = for_every_processor
    file = module.compile_once([Path(sys.argv[1])])
    wasmtime.Module.deserialize_file(for_this_processor(), str(file))
    print(file)
