//! The JSON Schema of everything that `-o json` prints.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::{
    CapabilitiesOutput, CheckOutput, DoneOutput, ErrorOutput, EventOutput, FilesOutput, ForwardOutput,
    HistoryOutput, LogOutput, PlanOutput, ProgressOutput, RenderOutput, RunOutput, StatusOutput,
    TargetsOutput,
};

/// Makes the JSON Schema of all outputs: one definition a command, and the document is one of them.
pub(crate) fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let documents = [
        of::<CapabilitiesOutput>(&mut generator),
        of::<CheckOutput>(&mut generator),
        of::<DoneOutput>(&mut generator),
        of::<ErrorOutput>(&mut generator),
        of::<EventOutput>(&mut generator),
        of::<FilesOutput>(&mut generator),
        of::<ForwardOutput>(&mut generator),
        of::<HistoryOutput>(&mut generator),
        of::<LogOutput>(&mut generator),
        of::<PlanOutput>(&mut generator),
        of::<ProgressOutput>(&mut generator),
        of::<RenderOutput>(&mut generator),
        of::<RunOutput>(&mut generator),
        of::<StatusOutput>(&mut generator),
        of::<TargetsOutput>(&mut generator),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Output of straddle -o json",
        "description": "One document on standard output; one a line for logs, events and port-forward. Progress and errors are lines on standard error. Fields may be added; none is removed or changes its meaning within a major version.",
        "anyOf": documents,
        "$defs": generator.take_definitions(true),
    })
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
