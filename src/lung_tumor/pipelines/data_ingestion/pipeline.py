"""Source → audit → manifest with splits → prepared slices and contact sheets."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.audit import audit
from lung_tumor.pipelines.data_ingestion.nodes import describe_source, draw_contact_sheets, prepare_slices
from lung_tumor.splits import assign_splits


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            Node(
                audit,
                inputs=["slice_source", "params:data_ingestion.preparation"],
                outputs="audited_files",
                name="audit_files",
            ),
            Node(
                assign_splits,
                inputs=["audited_files", "params:data_ingestion.split", "params:seed"],
                outputs="manifest",
                name="assign_splits",
            ),
            Node(
                prepare_slices,
                inputs=["slice_source", "manifest", "params:data_ingestion.preparation"],
                outputs="prepared_slices",
                name="prepare_slices",
            ),
            Node(
                describe_source,
                inputs=["slice_source", "manifest", "prepared_slices", "params:data_ingestion.preparation"],
                outputs="provenance",
                name="describe_source",
            ),
            Node(
                draw_contact_sheets,
                inputs=["prepared_slices", "manifest", "provenance"],
                outputs="contact_sheets",
                name="draw_contact_sheets",
                tags="figures",
            ),
        ],
        tags="data_ingestion",
    )
