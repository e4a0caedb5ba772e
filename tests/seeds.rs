//! The properties of `fuzz/properties` hold for every seed, and for whatever was ever found; `deploy/fuzz` goes on from there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../fuzz/properties/mod.rs"]
mod properties;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).map(|files| files.map(|file| file.unwrap().path()).collect()).unwrap_or_default()
}

fn fuzz(within: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(within)
}

#[test]
fn every_property_holds_for_all_its_seeds() {
    for (name, property) in properties::ALL {
        let seeds = files(&fuzz("corpus").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            assert!(catch_unwind(|| property(&bytes)).is_ok(), "{} has shown what is wrong", seed.display());
        }
        property(b"");
    }
}

#[test]
fn every_property_is_a_target_and_has_a_folder_of_seeds() {
    let names: BTreeSet<String> = properties::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let named = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut targets: BTreeSet<String> = files(&fuzz("fuzz_targets")).into_iter().map(named).collect();
    assert!(targets.remove("any"), "the target that is all of them");
    assert_eq!(targets, names);
    assert_eq!(files(&fuzz("corpus")).into_iter().map(named).collect::<BTreeSet<_>>(), names);
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for name in &names {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in the manifest"
        );
        let target = fs::read_to_string(fuzz("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(target.contains(&format!("properties::{name}(data)")), "{name} tries something else");
    }
}
