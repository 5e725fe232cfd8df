"""Source → audit → near-duplicates → groups → manifest with splits → prepared slices, shortcut audit, dataset card."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.audit import audit
from lung_tumor.classes import choose_classes
from lung_tumor.figures import dataset_overview
from lung_tumor.pipelines.data_ingestion.nodes import (
    audit_shortcuts,
    describe_dataset,
    describe_source,
    draw_contact_sheets,
    embed_pictures,
    find_duplicate_pairs,
    group_files,
    outline_lesions,
    prepare_slices,
    write_dataset_card,
)
from lung_tumor.prepared import name_preparation
from lung_tumor.splits import assign_splits

PREPARATION = "params:data_ingestion.preparation"


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline([*_audit(), *_prepare(), *_report()], tags="data_ingestion")


def _audit() -> list[Node]:
    return [
        Node(
            choose_classes,
            inputs=["slice_source", "params:data_ingestion.classes"],
            outputs="chosen_source",
            name="choose_classes",
        ),
        Node(
            audit,
            inputs=["chosen_source", PREPARATION],
            outputs=["audited_files", "trivial_numbers"],
            name="audit_files",
        ),
        Node(
            embed_pictures,
            inputs=[
                "chosen_source",
                "audited_files",
                "imagenet_weights",
                PREPARATION,
                "params:data_ingestion.embedding",
            ],
            outputs="embedding",
            name="embed_pictures",
        ),
        Node(
            find_duplicate_pairs,
            inputs=["chosen_source", "audited_files", "embedding", PREPARATION, "params:data_ingestion.duplicates"],
            outputs="duplicate_pairs",
            name="find_duplicate_pairs",
        ),
        Node(
            group_files,
            inputs=[
                "chosen_source",
                "audited_files",
                "duplicate_pairs",
                "params:data_ingestion.groups",
                "params:data_ingestion.split",
            ],
            outputs=["grouped_files", "groups_from"],
            name="group_files",
        ),
        Node(
            assign_splits,
            inputs=["grouped_files", "params:data_ingestion.split", "params:seed"],
            outputs="split_files",
            name="assign_splits",
        ),
        Node(name_preparation, inputs=["split_files", PREPARATION], outputs="manifest", name="name_preparation"),
    ]


def _prepare() -> list[Node]:
    return [
        Node(
            prepare_slices,
            inputs=["chosen_source", "manifest", PREPARATION],
            outputs="prepared_slices",
            name="prepare_slices",
        ),
        Node(
            outline_lesions,
            inputs=["chosen_source", "manifest", PREPARATION],
            outputs="lesion_outlines",
            name="outline_lesions",
        ),
        Node(
            describe_source,
            inputs=[
                "chosen_source",
                "manifest",
                "duplicate_pairs",
                "prepared_slices",
                "lesion_outlines",
                "audit",
                "shortcut_scores",
                PREPARATION,
                "parameters",
            ],
            outputs="provenance",
            name="describe_source",
        ),
    ]


def _report() -> list[Node]:
    return [
        Node(
            audit_shortcuts,
            inputs=[
                "trivial_numbers",
                "prepared_slices",
                "manifest",
                "params:data_ingestion.shortcuts",
                "params:seed",
            ],
            outputs=["shortcuts", "shortcut_scores"],
            name="audit_shortcuts",
        ),
        Node(
            describe_dataset,
            inputs=[
                "chosen_source",
                "manifest",
                "duplicate_pairs",
                "trivial_numbers",
                "shortcuts",
                "groups_from",
                "params:data_ingestion.groups",
                "params:data_ingestion.split",
            ],
            outputs="audit",
            name="describe_dataset",
        ),
        Node(
            write_dataset_card,
            inputs=["chosen_source", "audit", PREPARATION],
            outputs="dataset_card",
            name="write_dataset_card",
        ),
        Node(
            dataset_overview, inputs="audit", outputs="dataset_overview", name="draw_dataset_overview", tags="figures"
        ),
        Node(
            draw_contact_sheets,
            inputs=["prepared_slices", "manifest", "provenance"],
            outputs="contact_sheets",
            name="draw_contact_sheets",
            tags="figures",
        ),
    ]
