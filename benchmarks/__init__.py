"""Measurements of the project against the published protocol."""

import os

# Threads that wait for each other sleep instead of spinning: on a machine with other work, ways that compute on several
# threads would otherwise come to a standstill. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
