"""What a study measures: one row a checkpoint, and its curves; kept as Parquet part files.

A study's folder holds ``results/*.parquet`` and ``curves/*.parquet``. Each piece of work writes one part of
either when it is done, whole or not at all; reading takes all parts and, where a row stands in two, the
later part's.

``results`` has a row for each checkpoint that was kept, of bases and transfers alike:

====================  ========  ==================================================================
column                type      what
====================  ========  ==================================================================
``variant``           str       the variant of the settings, ``main`` where the study names none
``phase``             str       ``base`` or ``transfer``
``plan``              str       the transfer plan's name, empty for bases
``base_seed``         int64     the seed of the base
``seed``              int64     the transfer's seed; a base's own
``step``              int64     updates done
``updates``           int64     updates in all: the budget
``final``             bool      whether it is the last checkpoint, ``step == updates``
``path``              str       the checkpoint, relative to the study's folder
``sha256``            str       its hash
``finite``            bool      whether its weights are; where not, all that follows is missing
``states``            int64     states of the world
``success_states``    int64     so many must lie nearest to their own base state
``own_states``        float64   so many do (missing for bases)
``succeeded``         boolean   whether those are enough
``relation``          str|None  the verdict's relation; None: undecided
``status``            str|None  the verdict's status
``axes``              str       negated axes, ``0,1``
``agreement``         float64   share of the resamples that agree on the relation
``l2``                float64   mean L2 distance of paired embeddings
``l2_relative``       float64   the same over the base's spread
``flip``              float64   the flip metric
``r2_<rung>``         float64   held-out R² of each rung of the ladder (``r2_identity``, …)
``r2_shifted_<rung>`` float64   the same with an offset (``identity``, ``signs``, ``permutation``)
``variance_ratio``    float64   the transfer's variance over the base's
``loss_total``        float64   on its own task, every state and action alike: the weighted sum
``loss_<term>``       float64   each term of it
``gradient_norm``     float64   the total's gradient in the trained parameters, norm
``mended_loss``       float64   the total after the best orthogonal map was folded into the encoder
``mended_escape``     float64   escape height on the straight line to that mended copy
====================  ========  ==================================================================

``curves`` is long: ``variant, phase, plan, base_seed, seed, update, term, loss`` (training losses, averaged
over the updates since the point before).
"""

from __future__ import annotations

KEY = ("variant", "phase", "plan", "base_seed", "seed", "step")
"""What tells rows of ``results`` apart."""

CELL = ("variant", "plan", "base_seed")
"""What tells the cells of the final table apart: transfers of one base under one plan."""
