"""Candidate + held-out slices → figures with intervals, report, model card, and the verdict on which model is served."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.evaluation.evidence import judge_evidence
from lung_tumor.pipelines.evaluation.nodes import (
    check_before_evaluation,
    compare_with_shortcuts,
    judge_calibration,
    judge_held_out,
    judge_operating_point,
    measure_both,
)
from lung_tumor.pipelines.evaluation.novelty import judge_novelty
from lung_tumor.pipelines.evaluation.promotion import choose_served, judge_promotion
from lung_tumor.pipelines.evaluation.reporting import draw_figures, gather_metrics, write_model_card, write_report
from lung_tumor.report import summarise

DRAWS = "params:evaluation.comparison"
"""How many resamples every interval rests on."""


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline([*_check(), *_judge(), *_promote(), *_report()], tags="evaluation")


def _check() -> list[Node]:
    return [
        Node(
            check_before_evaluation,
            inputs=[
                "candidate_model",
                "manifest",
                "duplicate_pairs",
                "audit",
                "shortcut_scores",
                "out_of_fold_predictions",
                "provenance",
                "training_facts",
                "serving_facts",
            ],
            outputs="evaluated_manifest",
            name="check_evaluation_leaks",
        ),
        Node(
            judge_held_out,
            inputs=["candidate_model", "prepared_slices", "evaluated_manifest"],
            outputs=["predictions", "validation_predictions", "held_out_evidence"],
            name="judge_held_out",
        ),
    ]


def _judge() -> list[Node]:
    return [
        Node(
            compare_with_shortcuts,
            inputs=["predictions", "out_of_fold_predictions", "shortcut_scores", "audit", DRAWS, "params:seed"],
            outputs="comparison",
            name="compare_with_shortcuts",
        ),
        Node(
            measure_both,
            inputs=[
                "predictions",
                "out_of_fold_predictions",
                "evaluated_manifest",
                "shortcut_scores",
                "audit",
                DRAWS,
                "params:seed",
            ],
            outputs="measured",
            name="measure",
        ),
        Node(
            judge_calibration,
            inputs=["candidate_model", "predictions", "out_of_fold_predictions", "serving_facts", "params:seed"],
            outputs="judged_calibration",
            name="judge_calibration",
        ),
        Node(
            judge_operating_point,
            inputs=[
                "candidate_model",
                "predictions",
                "validation_predictions",
                "evaluated_manifest",
                "shortcut_scores",
                "audit",
                "serving_facts",
                DRAWS,
                "params:seed",
            ],
            outputs="judged_operating_point",
            name="judge_operating_point",
        ),
        Node(
            judge_novelty,
            inputs=["candidate_model", "predictions", "validation_predictions", "prepared_slices", "params:seed"],
            outputs="judged_novelty",
            name="judge_novelty",
        ),
        Node(
            judge_evidence,
            inputs=[
                "candidate_model",
                "predictions",
                "validation_predictions",
                "held_out_evidence",
                "prepared_slices",
                "lesion_outlines",
                "params:seed",
            ],
            outputs="judged_evidence",
            name="judge_evidence",
        ),
    ]


def _promote() -> list[Node]:
    """What says which model is served is written after that model: whatever is cut short, no file promises too much."""
    return [
        Node(
            judge_promotion,
            inputs=[
                "candidate_file",
                "champion",
                "predictions",
                "evaluated_manifest",
                "prepared_slices",
                "original_files",
                "params:evaluation.promotion",
                "params:seed",
            ],
            outputs="verdict",
            name="judge_promotion",
        ),
        Node(
            choose_served,
            inputs=[
                "candidate_file",
                "champion",
                "verdict",
                "measured",
                "judged_operating_point",
                "judged_calibration",
                "judged_novelty",
                "judged_evidence",
            ],
            outputs=["served_model", "promotion"],
            name="choose_served",
        ),
    ]


def _report() -> list[Node]:
    return [
        Node(
            gather_metrics,
            inputs={
                "candidate": "candidate_model",
                "measured": "measured",
                "comparison": "comparison",
                "audit": "audit",
                "training": "training_facts",
                "serving": "serving_facts",
                "calibration": "judged_calibration",
                "operating_point": "judged_operating_point",
                "novelty": "judged_novelty",
                "evidence": "judged_evidence",
                "promotion": "promotion",
            },
            outputs="metrics",
            name="gather_metrics",
        ),
        Node(
            draw_figures,
            inputs=["metrics", "predictions", "history", DRAWS, "params:seed"],
            outputs=["drawn_figures", "evaluation_figures"],
            name="draw_evaluation",
            tags="figures",
        ),
        Node(
            write_report,
            inputs=["metrics", "audit", "predictions", "held_out_evidence", "prepared_slices", "drawn_figures"],
            outputs="report",
            name="write_report",
        ),
        Node(
            write_model_card,
            inputs=[
                "metrics",
                "audit",
                "candidate_model",
                "serving_facts",
                DRAWS,
                "params:evaluation.promotion",
                "params:seed",
                "run_facts",
            ],
            outputs=["model_card", "model_card_page"],
            name="write_model_card",
        ),
        Node(summarise, inputs=["metrics", "audit"], outputs="summary", name="summarise"),
    ]
