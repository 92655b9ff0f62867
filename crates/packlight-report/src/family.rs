//! The family of a plan's methods, which gives its colour in figures of many plans.

use packlight_figure::Family;

use crate::codec_name::{family, methods};

/// The family that all methods of a plan belong to.
pub fn of_plan(spec: &str) -> Family {
    let exact = |method: &&str| *method == "none" || family(method) == "update";
    let mut families = methods(spec).filter(|method| !exact(method)).map(of_method);
    match families.next() {
        None => Family::Exact,
        Some(first) if families.all(|family| family == first) => first,
        Some(_) => Family::Several,
    }
}

fn of_method(method: &str) -> Family {
    match family(method) {
        "checkpoint" | "recompute" | "scores" => Family::Checkpointing,
        "last" | "bias" => Family::FrozenLayers,
        "pool" | "division" => Family::Pooling,
        "q" | "outlier" | "actnn" | "gact" | "mesa" | "alam" => Family::FewBits,
        "bf" | "fp" => Family::NarrowFloats,
        "svd" | "hosvd" | "asi" | "qb" => Family::LowRank,
        "velora" | "compact" | "pamm" | "basis" => Family::Projection,
        "topk" | "surgeon" | "bitmap" | "bsr" | "swat" => Family::Sparse,
        "asa" | "alt" | "ara" => Family::Signs,
        "adaptive" => Family::Several,
        "gf" | "dither" | "resprop" => Family::OutputGradients,
        "regelu" | "resilu" | "msnorm" | "blpa" => Family::NormsAndActivations,
        _ => Family::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_family_of_its_methods() {
        assert_eq!(of_plan("none"), Family::Exact);
        assert_eq!(of_plan("update=eager"), Family::Exact);
        assert_eq!(of_plan("q2,update=eager"), Family::FewBits);
        assert_eq!(of_plan("layer1.*=pool4, fc=none, default=division:8:2"), Family::Pooling);
        assert_eq!(of_plan("checkpoint=sqrt"), Family::Checkpointing);
        assert_eq!(of_plan("recompute=layer3.*:blocks.2"), Family::Checkpointing);
        assert_eq!(of_plan("scores=recompute"), Family::Checkpointing);
        assert_eq!(of_plan("last=2,bias=all"), Family::FrozenLayers);
        assert_eq!(of_plan("checkpoint=sqrt,blocks.*=asa4"), Family::Several);
        assert_eq!(of_plan("hosvd:0.8:st"), Family::LowRank);
        assert_eq!(of_plan("adaptive every 2 epochs within 0.3x by q8 pool2"), Family::Several);
        assert_eq!(of_plan("my-codec:3"), Family::Other);
    }
}
