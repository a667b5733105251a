import os

# before torch is loaded: threads that spin while they wait make small networks ten times slower on a busy machine
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hypothesis import settings

settings.register_profile("theodolite", deadline=None)  # a shared machine has slow moments
settings.load_profile("theodolite")
