"""The tests of this folder run the GPU's backends in the emulator, on the CPU; MINILLM_CUDASIM=0: on the GPU."""

import os

os.environ.setdefault("MINILLM_CUDASIM", "1")
