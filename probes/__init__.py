"""Measures on arrays: how two embeddings of the same states relate, and what can be read from one of them.

Pure functions of numpy arrays or torch tensors, (n, d) or (n, ...), rows paired; each returns a frozen
result with its evidence and interval. By convention x is the transfer's embedding and y the base's; where
there is one embedding it is x, beside a known variable of its rows.
"""

from probes._alignment import MIN_STATES, Ladder, Step, ladder
from probes._axes import AxisCorrelations, axis_correlations
from probes._cca import cca, pwcca, svcca
from probes._channels import MARGIN, ChannelLadders, channel_ladders
from probes._choice import Relation
from probes._cka import cka
from probes._clusters import ClusterEvents, cluster_events
from probes._collapse import Collapse, collapse, effective_rank
from probes._dead import dead_units
from probes._distance import Distance, cosine, l2, nearest_own
from probes._held_out_cca import HeldOutCCA, held_out_cca
from probes._layers import LayerKernels, LayerSimilarity, layer_fits
from probes._linear import LinearProbe, linear_probe, score_change
from probes._maps import RUNGS, SHIFTED, Map, Rung, fit
from probes._measure import Bools, Floats, Labels, Measure, ProbeError, as_matrix, drop_nonfinite, finite_rows
from probes._neighbours import NEIGHBOURS, knn_overlap
from probes._nulls import Independence, Null, independence
from probes._procrustes import procrustes, shape_distance
from probes._projection import Method, Plane, Projection, project
from probes._relation import RelationResult, equivalence_margin, relation
from probes._resampling import Groups, difference, interval, make_groups, share
from probes._rollout import memory, rollout_blocks
from probes._spatial import BACK, GRIDS, LAYOUTS, UNTURNED, Layout, layout_of
from probes._states import states
from probes._stream import Stream, streamed
from probes._variable_cca import VariableCCA, variable_cca
from probes._variables import ROWS, Variable, as_variable, sampled_rows

__all__ = [
    "BACK",
    "GRIDS",
    "LAYOUTS",
    "MARGIN",
    "MIN_STATES",
    "NEIGHBOURS",
    "ROWS",
    "RUNGS",
    "SHIFTED",
    "UNTURNED",
    "AxisCorrelations",
    "Bools",
    "ChannelLadders",
    "ClusterEvents",
    "Collapse",
    "Distance",
    "Floats",
    "Groups",
    "HeldOutCCA",
    "Independence",
    "Labels",
    "Ladder",
    "LayerKernels",
    "LayerSimilarity",
    "Layout",
    "LinearProbe",
    "Map",
    "Measure",
    "Method",
    "Null",
    "Plane",
    "ProbeError",
    "Projection",
    "Relation",
    "RelationResult",
    "Rung",
    "Step",
    "Stream",
    "Variable",
    "VariableCCA",
    "as_matrix",
    "as_variable",
    "axis_correlations",
    "cca",
    "channel_ladders",
    "cka",
    "cluster_events",
    "collapse",
    "cosine",
    "dead_units",
    "difference",
    "drop_nonfinite",
    "effective_rank",
    "equivalence_margin",
    "finite_rows",
    "fit",
    "held_out_cca",
    "independence",
    "interval",
    "knn_overlap",
    "l2",
    "ladder",
    "layer_fits",
    "layout_of",
    "linear_probe",
    "make_groups",
    "memory",
    "nearest_own",
    "procrustes",
    "project",
    "pwcca",
    "relation",
    "rollout_blocks",
    "sampled_rows",
    "score_change",
    "shape_distance",
    "share",
    "states",
    "streamed",
    "svcca",
    "variable_cca",
]
