"""Measures on arrays: how two embeddings of the same states lie to each other.

Pure functions of numpy arrays or torch tensors, (n, d) or (n, ...), rows paired; each returns a frozen
result with its evidence and interval. By convention x is the transfer's embedding and y the base's.
"""

from probes._alignment import MIN_STATES, RUNGS, Ladder, Map, Rung, Step, fit, ladder
from probes._cca import cca, pwcca, svcca
from probes._cka import cka
from probes._collapse import effective_rank
from probes._distance import Distance, cosine, l2, nearest_own
from probes._measure import Measure, ProbeError, as_matrix
from probes._neighbours import knn_overlap
from probes._procrustes import procrustes
from probes._relation import MARGIN, Relation, RelationResult, relation
from probes._resampling import Groups, interval, make_groups

__all__ = [
    "MARGIN",
    "MIN_STATES",
    "RUNGS",
    "Distance",
    "Groups",
    "Ladder",
    "Map",
    "Measure",
    "ProbeError",
    "Relation",
    "RelationResult",
    "Rung",
    "Step",
    "as_matrix",
    "cca",
    "cka",
    "cosine",
    "effective_rank",
    "fit",
    "interval",
    "knn_overlap",
    "l2",
    "ladder",
    "make_groups",
    "nearest_own",
    "procrustes",
    "pwcca",
    "relation",
    "svcca",
]
