//! The tables of a study's page, as HTML.

mod head_to_head;
mod layers;
mod memory;
mod moves;
mod provenance;

use maud::{Markup, html};

use crate::format::percent;
use crate::plan::PlanRow;
use crate::training::Training;

pub(crate) use head_to_head::{class, continued, head_to_head, sign};
pub(crate) use layers::layers;
pub(crate) use memory::memory_accounts;
pub(crate) use moves::moves;
pub(crate) use provenance::provenance;

/// A plan's name, with its codecs where they are not its name, and what it starts from.
fn name(plan: &PlanRow) -> Markup {
    html! {
        td {
            b { (plan.plan.name) }
            @if plan.plan.spec != plan.plan.name { br; code { (plan.plan.spec) } }
            @if plan.training == Training::OtherLength {
                @if let Some(mark) = plan.training.mark(plan.planned_epochs) { br; b { (mark) } }
            }
            @if let Some((probed, trained)) = plan.differing_shares() {
                br; "probed: " (percent(probed)) " of inputs kept" br; "trained: " (percent(trained))
            }
            @if let Some(from) = &plan.plan.from { br; "from the weights of " b { (from) } }
        }
    }
}
