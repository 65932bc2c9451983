"""The engine: everything that computes with tensors, at one door.

torch, diffusers and transformers take seconds to import. A studio's page comes up without them, so jobs and page import
from here, inside functions. Whichever thread comes first imports all of it, and others wait at this module's lock: two
threads that import parts of these libraries at once can meet them half-imported.
"""

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from videograin.diffusion.clusters import discover_regions
from videograin.evaluation.judge import Judge
from videograin.evaluation.report import as_document
from videograin.evaluation.scorers import has_own_scorer, load_scorer
from videograin.finding.proposals import ProposalFinder
from videograin.models.adapting import adapted
from videograin.models.flops import measure_speed
from videograin.models.loading import load_pipeline
from videograin.models.memory import estimate_edit
from videograin.models.references import drawn_after
from videograin.models.speed.device_rates import device_rates
from videograin.production.produce import produce
from videograin.production.scoring import score_result
from videograin.segment.model import EmbeddingCache
from videograin.segment.segmenter import Segmenter
from videograin.segment.suggest import suggest_moving, suggest_regions
from videograin.segment.zoo import load_segmenter
from videograin.tracking.engines import has_video_memory, load_engine
from videograin.tracking.flow_engine import FlowEngine

__all__ = [
    "EmbeddingCache",
    "FlowEngine",
    "Judge",
    "ProposalFinder",
    "Segmenter",
    "adapted",
    "as_document",
    "device_rates",
    "discover_regions",
    "drawn_after",
    "estimate_edit",
    "has_own_scorer",
    "has_video_memory",
    "load_engine",
    "load_pipeline",
    "load_scorer",
    "load_segmenter",
    "measure_speed",
    "produce",
    "score_result",
    "suggest_moving",
    "suggest_regions",
    "without_progress_bars",
]


def without_progress_bars() -> None:
    """Have the libraries print no bars while they load: a studio's standard error is its log."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
