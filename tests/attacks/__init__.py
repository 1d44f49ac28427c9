"""Files and configurations that mean harm, made from a seed, and the judge of what opening them did.

``kinds`` has the generators, ``judge`` opens what they make. Tests take a few hundred of them, and
``benchmarks/attack.py`` takes as many as it is told.
"""
