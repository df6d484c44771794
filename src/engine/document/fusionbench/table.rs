//! The methods of FusionBench (0.2.33) that merge checkpoints without data, and their fields.

/// A method of FusionBench.
pub(super) struct Peer {
    /// Classes, and names of the legacy form.
    pub names: &'static [&'static str],
    pub ours: &'static str,
    pub fields: &'static [Field],
}

/// A field of its configuration, and its default.
pub(super) struct Field {
    pub theirs: &'static str,
    pub ours: &'static str,
    pub default: Default,
    pub as_is: As,
}

pub(super) enum Default {
    Number(f64),
    Flag(bool),
    Text(&'static str),
    /// Must be there.
    Needed,
}

/// How a field's value becomes ours.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum As {
    Same,
    /// A share, or a percentage where it is above one.
    Share,
    /// One a model.
    Each,
    /// A list of tensor names, or nothing.
    Names,
    /// A number, or nothing for 0.
    Seed,
}

const fn field(theirs: &'static str, ours: &'static str, default: Default) -> Field {
    Field { theirs, ours, default, as_is: As::Same }
}

const fn odd(theirs: &'static str, ours: &'static str, default: Default, as_is: As) -> Field {
    Field { theirs, ours, default, as_is }
}

/// Mixtures of experts, by class and name; whether they up-scale one model. (The file that FusionBench ships for merging
/// carries the name of up-scaling, without `num_experts`, and cannot run there.)
pub(super) const MIXTURES: &[(&[&str], bool)] = &[
    (
        &[
            "MixtralUpscalingAlgorithm",
            "MixtralForCausalLMUpscalingAlgorithm",
            "mixtral_moe_upscaling",
            "mixtral_for_causal_lm_moe_upscaling",
        ],
        true,
    ),
    (
        &[
            "MixtralMoEMergingAlgorithm",
            "MixtralForCausalLMMergingAlgorithm",
            "mixtral_moe_merging",
            "mixtral_for_causal_lm_merging",
        ],
        false,
    ),
];

/// Fields that change where results go, how much is printed or on what device it runs.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "_target_",
    "_recursive_",
    "name",
    "inplace",
    "verbose",
    "show_pbar",
    "debug",
    "model_save_path",
    "model_save_kwargs",
    "merge_backbone",
    "num_ray_actors",
    "save_on_every_step",
    "evaluate_on_every_step",
    "accelerator",
    "device",
    "device_map",
    "max_samples",
    "batch_size",
    "model_path",
    "return_single_task_models",
    "_usage_",
    "merged_model_save_path",
    "save_tokenizer",
    "push_to_hub",
    "backbone_only",
];

const SCALING: Field = field("scaling_factor", "scaling", Default::Number(0.3));
const THRESHOLD: Field = odd("threshold", "density", Default::Number(20.0), As::Share);
const MERGE: Field = field("merge_func", "merge", Default::Text("sum"));
const DROP: Field = field("sparsity_ratio", "drop", Default::Number(0.5));
const LINEAR: Field = field("only_on_linear_weights", "only_linear", Default::Flag(false));
const RESCALE: Field = field("rescale", "rescale", Default::Flag(true));
const EXCLUDE: Field = odd("exclude_keys", "exclude", Default::Text(""), As::Names);
const SHUFFLE: Field = field("shuffle_order", "shuffle", Default::Flag(true));
const SEED: Field = odd("seed", "seed", Default::Number(0.0), As::Seed);

/// The methods that merge checkpoints without data.
pub(super) static PEERS: &[Peer] = &[
    Peer { names: &["DepthUpscalingAlgorithm", "depth_upscaling"], ours: "passthrough", fields: &[] },
    Peer {
        names: &["SimpleAverageAlgorithm", "SimpleAverageForCausalLM", "SimpleAverageForLlama", "simple_average"],
        ours: "simple_average",
        fields: &[],
    },
    Peer {
        names: &["WeightedAverageAlgorithm", "WeightedAverageForLLama", "weighted_average"],
        ours: "weighted_average",
        fields: &[
            odd("weights", "weights", Default::Needed, As::Each),
            field("normalize", "normalize", Default::Flag(true)),
        ],
    },
    Peer {
        names: &["TaskArithmeticAlgorithm", "TaskArithmeticForCausalLM", "TaskArithmeticForLlama", "task_arithmetic"],
        ours: "task_arithmetic",
        fields: &[SCALING],
    },
    Peer {
        names: &["TiesMergingAlgorithm", "TiesMergingForCausalLM", "ties_merging"],
        ours: "ties",
        fields: &[SCALING, THRESHOLD, MERGE],
    },
    Peer { names: &["DareTaskArithmetic"], ours: "dare", fields: &[SCALING, DROP, LINEAR, RESCALE] },
    Peer {
        names: &["DareTiesMerging"],
        ours: "dare_ties",
        fields: &[field("scaling_factor", "scaling", Default::Number(0.5)), THRESHOLD, MERGE, DROP, LINEAR, RESCALE],
    },
    Peer { names: &["DareSimpleAverage"], ours: "dare_average", fields: &[DROP, LINEAR, RESCALE] },
    Peer {
        names: &["MagMaxAlgorithm", "magmax"],
        ours: "magmax",
        fields: &[field("scaling_factor", "scaling", Default::Number(0.5))],
    },
    Peer { names: &["ModelStock"], ours: "model_stock", fields: &[] },
    Peer {
        names: &["SlerpMergeAlgorithm", "SlerpForCausalLM", "slerp"],
        ours: "slerp",
        fields: &[
            field("t", "t", Default::Number(0.5)),
            field("DOT_THRESHOLD", "dot_threshold", Default::Number(0.9995)),
            field("epsilon", "epsilon", Default::Number(1e-8)),
        ],
    },
    Peer {
        names: &["LinearInterpolationAlgorithm"],
        ours: "linear_interpolation",
        fields: &[field("t", "t", Default::Number(0.5))],
    },
    Peer {
        names: &["ExPOAlgorithm"],
        ours: "expo",
        fields: &[field("extrapolation_factor", "extrapolation", Default::Number(0.1))],
    },
    Peer {
        names: &["ISO_C_Merge"],
        ours: "iso_c",
        fields: &[field("scaling_factor", "scaling", Default::Number(1.0)), EXCLUDE],
    },
    Peer {
        names: &["ISO_CTS_Merge"],
        ours: "iso_cts",
        fields: &[
            field("scaling_factor", "scaling", Default::Number(1.0)),
            field("common_space_fraction", "common", Default::Number(0.8)),
            EXCLUDE,
        ],
    },
    Peer {
        names: &["TaskSingularVectorMerging"],
        ours: "tsv_m",
        fields: &[odd("alpha", "scaling", Default::Number(1.0), As::Each), EXCLUDE],
    },
    Peer {
        names: &["WUDIMerging"],
        ours: "wudi",
        fields: &[field("iter_num", "steps", Default::Number(400.0)), EXCLUDE],
    },
    Peer {
        names: &["DOGE_TA_Algorithm"],
        ours: "doge_ta",
        fields: &[
            field("subspace", "subspace", Default::Number(6.0)),
            odd("K", "density", Default::Number(30.0), As::Share),
            field("lamda", "scaling", Default::Number(0.07)),
        ],
    },
    Peer {
        names: &["OPCMForCLIP", "OPCM"],
        ours: "opcm",
        fields: &[field("alpha", "alpha", Default::Number(0.5)), SHUFFLE, SEED],
    },
    Peer {
        names: &["ContinualDOPForCLIP", "DOPMerging"],
        ours: "dop",
        fields: &[
            field("lr", "rate", Default::Number(1e-4)),
            field("num_steps", "steps", Default::Number(200.0)),
            field("mgda", "balance", Default::Flag(true)),
            field("alpha", "alpha", Default::Number(0.8)),
            field("ema", "smooth", Default::Flag(true)),
            field("ema_beta", "decay", Default::Number(0.999)),
            field("svd_epsilon", "energy", Default::Number(0.99999)),
            field("svd_proj_space", "space", Default::Text("uv")),
            SHUFFLE,
            SEED,
        ],
    },
    Peer {
        names: &["TaskArithmeticWithTrustRegionForCLIP"],
        ours: "trust_region",
        fields: &[SCALING, field("threshold_quantile", "quantile", Default::Number(0.99))],
    },
    Peer {
        names: &["SingularProjectionMergingAlgorithm", "singular_projection_merging"],
        ours: "singular_projection",
        fields: &[
            field("k", "rank", Default::Number(128.0)),
            field("rank", "zone", Default::Text("low")),
            field("full_matrices", "null_space", Default::Flag(false)),
        ],
    },
    Peer { names: &["EMRMerging"], ours: "emr", fields: &[] },
    Peer {
        names: &["TallMaskTaskArithmeticAlgorithm"],
        ours: "tall_mask",
        fields: &[field("tall_mask_lambda", "threshold", Default::Needed)],
    },
    Peer {
        names: &["MagnitudeDiffPruningAlgorithm"],
        ours: "magnitude_diff_pruning",
        fields: &[
            field("prune_ratio", "prune_ratio", Default::Number(0.5)),
            field("rescale", "rescale", Default::Flag(false)),
            field("prune_type", "prune_type", Default::Text("minor")),
        ],
    },
    Peer {
        names: &["SingularValueCalibrationWithBaseMethod", "SingularValueCalibrationArithmeticTask"],
        ours: "svc",
        fields: &[
            field("alpha", "alpha", Default::Number(0.1)),
            field("scaling_factor", "scaling", Default::Number(0.3)),
        ],
    },
];
