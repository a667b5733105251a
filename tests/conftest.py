import os

# before torch is loaded: threads that spin while they wait make small networks ten times slower on a busy machine
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hypothesis import settings

# a shared machine has slow moments; a commit is judged by the same cases every time, `make explore` draws new ones
settings.register_profile("same cases", deadline=None, derandomize=True)
settings.register_profile("new cases", deadline=None, max_examples=500, print_blob=True)
settings.load_profile("same cases")
