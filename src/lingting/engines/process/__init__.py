"""An engine in a process of its own: a crash, an abort of its library or a hang costs a restart, not the server.

Each lane has a connection of its own, on which one call waits for its answer (`calls.py`). A keeper (`keeper.py`)
starts the process (`child.py`), passes its log on, asks it every second whether it is there, and starts it anew when it
is not. Works that the process held are lost with it (`EngineRestarted`), and whoever schedules them begins them again
from their requests. `engine.py` is what callers see of it, `ears.py` an utterance that is heard there, `far_side.py`
the program that runs in the process, and `wire.py` what the two say to each other.
"""
