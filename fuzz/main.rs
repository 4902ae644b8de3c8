//! Runs one fuzz target with libFuzzer: the one that `MLPACK_FUZZ_TARGET` names. `run.sh` builds and starts it.

#![no_main]

use std::sync::LazyLock;

mod targets;

static TARGET: LazyLock<&targets::Target> = LazyLock::new(|| {
    let name = std::env::var("MLPACK_FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| {
        let names: Vec<_> = targets::TARGETS.iter().map(|target| target.name).collect();
        panic!("MLPACK_FUZZ_TARGET is `{name}`, not one of {}", names.join(", "))
    })
});

libfuzzer_sys::fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("MLPACK_FUZZ_SEEDS") {
            for (index, seed) in (TARGET.seeds)().iter().enumerate() {
                let path = std::path::Path::new(&folder).join(format!("seed-{index}"));
                std::fs::write(path, seed).expect("the folder of seeds can be written to");
            }
        }
    },
    |data: &[u8]| (TARGET.run)(data)
);
