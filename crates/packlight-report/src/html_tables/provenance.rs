//! What each run was made from, and on which machine.

use maud::{Markup, html};

use crate::study::{State, Study};

/// One row for each run: what it was made from, and on which machine.
pub(crate) fn provenance(study: &Study) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label="Provenance of each run" {
            table {
                thead {
                    tr {
                        th { "plan" }
                        th { "codecs" }
                        th .number { "seed" }
                        th { "state" }
                        th .number { "epochs" }
                        th { "study hash" }
                        th { "data hash" }
                        th { "version" }
                        th { "processor" }
                        th .number { "threads" }
                    }
                }
                tbody {
                    @for run in &study.runs {
                        @let m = &run.manifest;
                        tr {
                            td { (m.plan) }
                            td { code { (m.plan_spec) } }
                            td .number { (m.seed) }
                            td {
                                @match &run.state {
                                    State::Finished => "finished",
                                    State::Unfinished => "unfinished",
                                    State::Failed(_) => "failed",
                                    State::Damaged(_) => "damaged",
                                }
                            }
                            td .number { (run.epochs()) " of " (m.epochs) }
                            td { code title=(m.study_hash) { (short(&m.study_hash)) } }
                            td { code title=(m.data_hash) { (short(&m.data_hash)) } }
                            td { (m.version) }
                            td { (m.cpu) }
                            td .number { (m.threads) }
                        }
                    }
                }
            }
        }
        p .small.muted {
            "Hashes are SHA-256, shortened; hover over one to see all of it, or read the run's "
            code { "manifest.json" } ". "
            @if let Some(m) = study.runs.first().map(|r| &r.manifest) {
                (m.model) " has " (m.parameters) " trainable parameters. "
            }
            "The same study, data, seed and version on the same kind of machine give the same records \
             byte for byte; times and counted bytes are measurements and vary."
        }
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
