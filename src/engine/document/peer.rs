//! mergekit's methods: what they are called here, their parameters and defaults (mergekit 0.1.5), and what part the base
//! model plays in them.

use super::setting::Setting;

/// A merge method of mergekit.
#[derive(Debug, PartialEq)]
pub(super) struct Peer {
    pub name: &'static str,
    /// The method of the registry that computes the same.
    pub ours: &'static str,
    pub base: Base,
    pub parameters: &'static [Parameter],
    /// Parameters of ours that mergekit does not have, and the values at which it computes the same.
    pub fixed: &'static [(&'static str, Default)],
}

/// What becomes of the base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// Task vectors start there.
    Required,
    /// They do if it is given, and otherwise from zero.
    Optional,
    /// A model like the others, but the first of them.
    First,
    /// A model like the others.
    Ignored,
}

/// A parameter of a method.
#[derive(Debug, PartialEq)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub ours: &'static str,
    pub default: Default,
}

/// What a parameter is where nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Default {
    /// It must be set.
    None,
    Number(f64),
    Flag(bool),
    Text(&'static str),
}

impl Default {
    pub fn setting(self) -> Option<Setting> {
        match self {
            Self::None => None,
            Self::Number(number) => Some(number.into()),
            Self::Flag(flag) => Some(flag.into()),
            Self::Text(text) => Some(text.into()),
        }
    }
}

const fn parameter(name: &'static str, default: Default) -> Parameter {
    Parameter { name, ours: name, default }
}

const WEIGHT: Parameter = parameter("weight", Default::None);
const DENSITY: Parameter = parameter("density", Default::Number(1.0));
const GAMMA: Parameter = parameter("gamma", Default::Number(0.01));
const EPSILON: Parameter = parameter("epsilon", Default::Number(0.15));
const LAMBDA: Parameter = parameter("lambda", Default::Number(1.0));
const SEED: &[(&str, Default)] = &[("seed", Default::Number(0.0))];

const fn normalize(default: bool) -> Parameter {
    parameter("normalize", Default::Flag(default))
}

const fn rescale(default: bool) -> Parameter {
    parameter("rescale", Default::Flag(default))
}

const fn peer(name: &'static str, ours: &'static str, base: Base, parameters: &'static [Parameter]) -> Peer {
    Peer { name, ours, base, parameters, fixed: &[] }
}

const fn seeded(name: &'static str, ours: &'static str, parameters: &'static [Parameter]) -> Peer {
    Peer { name, ours, base: Base::Required, parameters, fixed: SEED }
}

/// Whether NuSLERP treats tensors as one vector, and if not, along which dimension; one parameter of ours for two of theirs.
pub(super) const FLATTEN: &str = "nuslerp_flatten";
pub(super) const ROW_WISE: &str = "nuslerp_row_wise";

/// Parameters of mergekit that change how it computes and not what.
pub(super) const WITHOUT_EFFECT: &[&str] = &["int8_mask"];

/// All of mergekit's methods.
pub(super) static PEERS: &[Peer] = &[
    peer(
        "linear",
        "weighted_average",
        Base::Ignored,
        &[Parameter { name: "weight", ours: "weights", default: Default::None }, normalize(true)],
    ),
    peer("slerp", "slerp", Base::First, &[parameter("t", Default::None)]),
    peer(
        "nuslerp",
        "nuslerp",
        Base::Optional,
        &[WEIGHT, parameter(FLATTEN, Default::Flag(true)), parameter(ROW_WISE, Default::Flag(false))],
    ),
    peer(
        "multislerp",
        "multislerp",
        Base::Optional,
        &[WEIGHT, parameter("normalize_weights", Default::Flag(true)), parameter("eps", Default::Number(1e-8))],
    ),
    peer(
        "karcher",
        "karcher",
        Base::Ignored,
        &[parameter("max_iter", Default::Number(10.0)), parameter("tol", Default::Number(1e-5))],
    ),
    peer("task_arithmetic", "mergekit_task_arithmetic", Base::Required, &[WEIGHT, normalize(false), LAMBDA]),
    peer("ties", "mergekit_ties", Base::Required, &[WEIGHT, DENSITY, normalize(true), rescale(false), LAMBDA]),
    seeded("dare_ties", "mergekit_dare_ties", &[WEIGHT, DENSITY, normalize(false), rescale(true), LAMBDA]),
    seeded("dare_linear", "mergekit_dare_linear", &[WEIGHT, DENSITY, normalize(false), rescale(true), LAMBDA]),
    peer(
        "breadcrumbs",
        "breadcrumbs",
        Base::Required,
        &[WEIGHT, DENSITY, GAMMA, normalize(false), rescale(false), LAMBDA],
    ),
    peer(
        "breadcrumbs_ties",
        "breadcrumbs_ties",
        Base::Required,
        &[WEIGHT, DENSITY, GAMMA, normalize(false), rescale(false), LAMBDA],
    ),
    seeded("della", "della", &[WEIGHT, DENSITY, EPSILON, normalize(true), rescale(true), LAMBDA]),
    seeded("della_linear", "della_linear", &[WEIGHT, DENSITY, EPSILON, normalize(false), rescale(true), LAMBDA]),
    peer("sce", "sce", Base::Required, &[parameter("select_topk", Default::Number(1.0))]),
    peer("ram", "ram", Base::Required, &[parameter("epsilon", Default::Number(1e-5))]),
    peer(
        "ramplus_tl",
        "ramplus_tl",
        Base::Required,
        &[
            parameter("r", Default::Number(0.1)),
            parameter("alpha", Default::Number(0.2)),
            parameter("epsilon", Default::Number(1e-5)),
        ],
    ),
    Peer {
        name: "model_stock",
        ours: "model_stock",
        base: Base::Required,
        parameters: &[parameter("filter_wise", Default::Flag(false))],
        fixed: &[("average", Default::Text("cosines"))],
    },
    peer("nearswap", "nearswap", Base::Required, &[parameter("t", Default::None)]),
    Peer {
        name: "arcee_fusion",
        ours: "arcee_fusion",
        base: Base::Required,
        parameters: &[],
        fixed: &[("reach", Default::Number(1.5))],
    },
    peer("passthrough", "passthrough", Base::Ignored, &[parameter("scale", Default::Number(1.0))]),
];

/// The method that mergekit calls `name`.
pub(super) fn find(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}

/// Whether another method of mergekit has a parameter of that name.
pub(super) fn knows(parameter: &str) -> bool {
    let more = ["rescale", "density", "normalize", "lambda", "weight"];
    more.contains(&parameter) || PEERS.iter().any(|peer| peer.parameters.iter().any(|known| known.name == parameter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::find as method;

    #[test]
    fn every_parameter_of_ours_is_accounted_for() {
        for peer in PEERS {
            let specs = method(peer.ours).unwrap().specs;
            let mut named: Vec<&str> = peer.parameters.iter().map(|parameter| parameter.ours).collect();
            named.extend(peer.fixed.iter().map(|(name, _)| *name));
            // Made of two of theirs, of the base, or constants of theirs.
            let made = ["along", "centre", "dot_threshold"];
            for spec in specs {
                let known = named.contains(&spec.name)
                    || made.contains(&spec.name)
                    || (peer.ours == "slerp" && spec.name == "epsilon");
                assert!(known, "{}: {}", peer.name, spec.name);
            }
            for name in named.iter().filter(|name| !name.starts_with("nuslerp_")) {
                assert!(specs.iter().any(|spec| spec.name == *name), "{}: {name}", peer.name);
            }
        }
    }
}
