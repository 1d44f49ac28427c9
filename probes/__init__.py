"""Measures on arrays: how two embeddings of the same states lie to each other, and what one of them holds.

Pure functions of numpy arrays or torch tensors, (n, d) or (n, ...), rows paired; each returns a frozen
result with its evidence and interval. By convention x is the transfer's embedding and y the base's; where
there is one embedding it is x, beside a known variable of its rows.
"""

from probes._alignment import MIN_STATES, RUNGS, Ladder, Map, Rung, Step, fit, ladder
from probes._cca import cca, pwcca, svcca
from probes._cka import cka
from probes._clusters import ClusterEvents, cluster_events
from probes._collapse import effective_rank
from probes._distance import Distance, cosine, l2, nearest_own
from probes._linear import LinearProbe, linear_probe
from probes._measure import Measure, ProbeError, as_matrix
from probes._neighbours import knn_overlap
from probes._procrustes import procrustes
from probes._projection import Method, Projection, project
from probes._relation import MARGIN, Relation, RelationResult, relation
from probes._resampling import Groups, interval, make_groups
from probes._variable_cca import VariableCCA, variable_cca
from probes._variables import ROWS, Variable, as_variable, sampled_rows

__all__ = [
    "MARGIN",
    "MIN_STATES",
    "ROWS",
    "RUNGS",
    "ClusterEvents",
    "Distance",
    "Groups",
    "Ladder",
    "LinearProbe",
    "Map",
    "Measure",
    "Method",
    "ProbeError",
    "Projection",
    "Relation",
    "RelationResult",
    "Rung",
    "Step",
    "Variable",
    "VariableCCA",
    "as_matrix",
    "as_variable",
    "cca",
    "cka",
    "cluster_events",
    "cosine",
    "effective_rank",
    "fit",
    "interval",
    "knn_overlap",
    "l2",
    "ladder",
    "linear_probe",
    "make_groups",
    "nearest_own",
    "procrustes",
    "project",
    "pwcca",
    "relation",
    "sampled_rows",
    "svcca",
    "variable_cca",
]
