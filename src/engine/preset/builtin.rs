//! The presets of the repository's `presets/` folder, carried in the binary.

use crate::params::closest;

/// A preset that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// `family/method`, as the file's path in `presets/` without its ending.
    pub name: &'static str,
    pub text: &'static str,
}

impl Builtin {
    /// The name without its family.
    #[must_use]
    pub fn short(&self) -> &'static str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }

    /// The first sentence of the comment that opens the file: what the preset is for.
    #[must_use]
    pub fn title(&self) -> String {
        let lines = self.text.lines().skip_while(|line| !line.starts_with("# "));
        let lines: Vec<&str> = lines.map_while(|line| line.strip_prefix("# ")).collect();
        let paragraph = lines.join(" ");
        match paragraph.find(". ") {
            Some(end) => paragraph[..=end].to_owned(),
            None => paragraph,
        }
    }
}

macro_rules! builtin {
    ($($name:literal)*) => {
        /// All built-in presets; `tests/presets.rs` keeps the list and the folder the same.
        pub const BUILTIN: &[Builtin] = &[$(Builtin {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/presets/", $name, ".toml")),
        },)*];
    };
}

builtin! {
    "ensemble/simple_ensemble"
    "ensemble/weighted_ensemble"
    "ensemble/max_model"
    "merging/simple_average"
    "merging/weighted_average"
    "merging/task_arithmetic"
    "merging/task_wise"
    "merging/layer_wise"
    "merging/linear_interpolation"
    "merging/slerp"
    "merging/ties"
    "merging/dare_average"
    "merging/dare"
    "merging/dare_ties"
    "merging/magmax"
    "merging/model_stock"
    "merging/regmean"
    "merging/regmean_plusplus"
    "merging/fisher"
    "merging/adamerging_task_wise"
    "merging/adamerging_layer_wise"
    "merging/concrete_task_arithmetic"
    "merging/concrete_adamerging_task_wise"
    "merging/concrete_adamerging_layer_wise"
    "merging/gossip"
    "merging/frank_wolfe_hard"
    "merging/frank_wolfe_soft"
    "merging/ada_svd"
    "merging/pwe_moe"
    "merging/tsv_m"
    "merging/iso_c"
    "merging/iso_cts"
    "merging/wudi"
    "merging/doge_ta"
    "merging/knots"
    "merging/svc"
    "merging/opcm"
    "merging/dop"
    "merging/trust_region"
    "merging/tatr"
    "merging/consensus_ta"
    "merging/singular_projection"
    "merging/breadcrumbs"
    "merging/breadcrumbs_ties"
    "merging/della"
    "merging/della_linear"
    "merging/sce"
    "merging/ram"
    "merging/ramplus_tl"
    "merging/nuslerp"
    "merging/multislerp"
    "merging/karcher"
    "merging/expo"
    "merging/nearswap"
    "merging/arcee_fusion"
    "merging/model_recombination"
    "merging/passthrough"
    "merging/mergekit_task_arithmetic"
    "merging/mergekit_ties"
    "merging/mergekit_dare_linear"
    "merging/mergekit_dare_ties"
    "merging/peft_ties"
    "merging/peft_dare_linear"
    "merging/peft_dare_ties"
    "merging/peft_magnitude_prune"
    "compression/emr"
    "compression/tall_mask"
    "compression/randes"
    "compression/bitdelta"
    "compression/magnitude_diff_pruning"
    "correction/surgery"
    "mixing/smile"
    "mixing/wemoe"
    "mixing/e_wemoe"
    "mixing/rankone_moe"
    "mixing/dawe"
    "generalization/generalization-1"
    "generalization/generalization-2"
    "robustness/robustness"
}

/// The preset named in full (`merging/ties`) or in short (`ties`).
pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    BUILTIN.iter().find(|preset| preset.name == name || preset.short() == name)
}

/// The name most like a mistyped one, as long or short as it was typed.
pub(super) fn closest_name(name: &str) -> Option<String> {
    let full = name.contains('/');
    closest(name, BUILTIN.iter().map(|preset| if full { preset.name } else { preset.short() })).map(str::to_owned)
}
