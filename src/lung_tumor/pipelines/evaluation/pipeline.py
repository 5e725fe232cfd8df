"""Candidate + held-out slices → figures with intervals, report, model card, and the verdict on which model is served."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.evaluation.nodes import (
    check_before_evaluation,
    choose_served,
    compare_with_shortcuts,
    judge_calibration,
    judge_evidence,
    judge_held_out,
    judge_novelty,
    judge_operating_point,
    judge_promotion,
    measure_both,
)
from lung_tumor.pipelines.evaluation.reporting import draw_figures, gather_metrics, write_model_card, write_report
from lung_tumor.report import summarise

DRAWS = "params:evaluation.comparison"
"""How many resamples every interval rests on."""


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline([*_check(), *_judge(), *_report()], tags="evaluation")


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
            inputs=["predictions", "shortcut_scores", "audit", DRAWS, "params:seed"],
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
            inputs=["candidate_model", "predictions", DRAWS, "params:seed"],
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
        Node(
            judge_promotion,
            inputs=[
                "candidate_model",
                "predictions",
                "champion",
                "prepared_slices",
                "params:evaluation.promotion",
                "params:seed",
            ],
            outputs="promotion",
            name="judge_promotion",
        ),
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
            choose_served,
            inputs=["candidate_file", "champion", "metrics"],
            outputs="served_model",
            name="choose_served",
        ),
    ]


def _report() -> list[Node]:
    return [
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
            inputs=["metrics", "audit", "candidate_model", "parameters", "run_facts"],
            outputs=["model_card", "model_card_page"],
            name="write_model_card",
        ),
        Node(summarise, inputs=["metrics", "audit"], outputs="summary", name="summarise"),
    ]
