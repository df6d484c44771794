//! The list of methods, in menu order: one word a method, its file is `methods/WORD.rs`.

use super::{FusionError, Method};
use crate::params::closest;

/// Declares the modules and lists their `METHOD`s.
macro_rules! methods {
    ($($name:ident),* $(,)?) => {
        #[path = "methods"]
        pub mod methods {
            //! One file a method. (`rustfmt src/fusion/methods/*.rs` formats them: `cargo fmt` does not look into macros.)
            $(pub mod $name;)*
        }

        /// Every method, in menu order.
        pub static METHODS: &[&Method] = &[$(&methods::$name::METHOD),*];
    };
}

methods! {
    task_arithmetic,
    task_wise,
    layer_wise,
    simple_average,
    weighted_average,
    ties,
    dare,
    dare_ties,
    dare_average,
    magmax,
    breadcrumbs,
    breadcrumbs_ties,
    della,
    della_linear,
    sce,
    ram,
    ramplus_tl,
    model_stock,
    regmean,
    regmean_plusplus,
    fisher,
    adamerging_task_wise,
    adamerging_layer_wise,
    concrete_task_arithmetic,
    concrete_adamerging_task_wise,
    concrete_adamerging_layer_wise,
    gossip,
    frank_wolfe_hard,
    frank_wolfe_soft,
    ada_svd,
    pwe_moe,
    tsv_m,
    iso_c,
    iso_cts,
    wudi,
    doge_ta,
    knots,
    svc,
    opcm,
    dop,
    trust_region,
    tatr,
    consensus_ta,
    singular_projection,
    slerp,
    nuslerp,
    multislerp,
    karcher,
    linear_interpolation,
    expo,
    nearswap,
    arcee_fusion,
    passthrough,
    model_recombination,
    mergekit_task_arithmetic,
    mergekit_ties,
    mergekit_dare_linear,
    mergekit_dare_ties,
    peft_ties,
    peft_dare_linear,
    peft_dare_ties,
    peft_magnitude_prune,
    emr,
    tall_mask,
    randes,
    bitdelta,
    magnitude_diff_pruning,
    surgery,
    simple_ensemble,
    weighted_ensemble,
    max_model,
    smile,
    wemoe,
    e_wemoe,
    rankone_moe,
    dawe,
}

/// The method called `id`.
///
/// # Errors
/// When there is none; the error knows the closest name.
pub fn find(id: &str) -> Result<&'static Method, FusionError> {
    METHODS.iter().copied().find(|method| method.id == id).ok_or_else(|| FusionError::UnknownMethod {
        name: id.to_owned(),
        closest: closest(id, METHODS.iter().map(|method| method.id)).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_listed_and_is_called_as_its_method() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fusion/methods");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect();
        let listed: BTreeSet<String> = METHODS.iter().map(|method| method.id.to_owned()).collect();
        assert_eq!(files, listed);
        assert_eq!(METHODS.len(), listed.len(), "an id stands twice");
    }

    #[test]
    fn a_mistyped_method_is_recognised() {
        assert_eq!(find("task_arithmetic").unwrap().id, "task_arithmetic");
        let error = find("task_arithmetics").unwrap_err().to_string();
        assert_eq!(error, "unknown method `task_arithmetics`, did you mean `task_arithmetic`?");
    }

    #[test]
    fn what_people_read_is_there() {
        for method in METHODS {
            assert!(!method.name.is_empty() && !method.formula.is_empty(), "{}", method.id);
            assert!(method.summary.ends_with('.') && method.summary.len() > 40, "{}", method.id);
            for spec in method.specs {
                assert!(spec.help.ends_with('.') && !spec.help.contains('\n'), "{}.{}", method.id, spec.name);
            }
        }
    }
}
