#![no_main]
use std::sync::LazyLock;

static PROPERTY: LazyLock<properties::Property> = LazyLock::new(|| {
    let name = std::env::var("PROPERTY").expect("PROPERTY names what is to be tried");
    properties::ALL.iter().find(|(known, _)| *known == name).expect("PROPERTY names a property").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| PROPERTY(data));
