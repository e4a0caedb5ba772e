//! Tries the properties on stable Rust: `deploy/fuzz [SECONDS [PROPERTY...]]`.
//!
//! It knows nothing of coverage, as libFuzzer does, so it mutates where it hurts: the words of `fuzz/dictionary` go into the
//! seeds of `fuzz/corpus`, which are spliced, cut and repeated. Every property first sees its seeds, and all inputs that ever
//! failed, as they are. A failing input is made smaller, kept in `fuzz/artifacts`, and ends the run with its seed of randomness.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "properties/mod.rs"]
mod properties;

use std::collections::hash_map::{DefaultHasher, RandomState};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// No input may take longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Inputs do not get longer than this by mutation, in bytes.
const LONGEST: usize = 2048;

fn main() {
    let mut arguments = env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(60, |text| text.parse().expect("SECONDS"));
    let chosen: Vec<String> = arguments.collect();
    let seed = env::var("SEED").ok().map(|text| text.parse().expect("SEED"));
    let seed = seed.unwrap_or_else(|| {
        // Every hasher of the standard library is seeded anew.
        RandomState::new().build_hasher().finish()
    });
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let here = if here.is_dir() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).to_owned() };
    let words = dictionary(&here);
    let properties: Vec<_> = properties::ALL
        .iter()
        .filter(|(name, _)| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name))
        .collect();
    assert!(!properties.is_empty(), "there is no such property");
    let each = Duration::from_secs(seconds) / u32::try_from(properties.len()).expect("few");
    let beat = watchdog();
    for (name, property) in properties {
        let seeds = seeds(&here.join("corpus").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let (began, mut tried) = (Instant::now(), 0_usize);
        let mut queue = seeds.clone();
        while !queue.is_empty() || began.elapsed() < each {
            let input = queue.pop().unwrap_or_else(|| mutated(&seeds, &words, &mut random));
            beat.send(Some(input.clone())).expect("the watchdog lives");
            if let Err(why) = holds(*property, &input) {
                drop(beat.send(None));
                failed(&here, name, *property, input, &why, seed);
            }
            tried += 1;
        }
        println!("{name:<10} {tried:>8} inputs");
    }
}

fn holds(property: fn(&[u8]), input: &[u8]) -> Result<(), String> {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| panic::set_hook(Box::new(|_| {})));
    panic::catch_unwind(AssertUnwindSafe(|| property(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Says what failed, on an input as small as it gets, and ends the run.
fn failed(here: &Path, name: &str, property: fn(&[u8]), input: Vec<u8>, why: &str, seed: u64) -> ! {
    let (mut input, mut why) = (input, why.to_owned());
    let mut size = input.len() / 2;
    let deadline = Instant::now() + PATIENCE;
    while size > 0 && Instant::now() < deadline {
        let mut at = 0;
        while at < input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..input.len().min(at + size));
            match holds(property, &shorter) {
                Err(found) => (input, why) = (shorter, found),
                Ok(()) => at += size,
            }
        }
        size /= 2;
    }
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let folder = here.join("artifacts").join(name);
    fs::create_dir_all(&folder).expect("a folder for what failed");
    let file = folder.join(format!("{:016x}", hasher.finish()));
    fs::write(&file, &input).expect("the input is kept");
    println!("{name} does not hold (SEED={seed}), for {}\n  {}\n{why}", file.display(), input.escape_ascii());
    process::exit(1);
}

/// Ends the process when an input takes too long.
fn watchdog() -> mpsc::Sender<Option<Vec<u8>>> {
    let (send, receive) = mpsc::channel::<Option<Vec<u8>>>();
    thread::spawn(move || {
        let mut last = None;
        loop {
            match receive.recv_timeout(PATIENCE) {
                // Made smaller: that takes as long as it takes.
                Ok(None) => return,
                Ok(input) => last = input,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    println!("no end after {PATIENCE:?}: {}", last.unwrap_or_default().escape_ascii());
                    process::exit(1);
                }
            }
        }
    });
    send
}

fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// The words of a dictionary in libFuzzer's format: `"word"` lines, with `\xNN`, `\"` and `\\`.
fn dictionary(here: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(here.join("dictionary")).expect("fuzz/dictionary");
    let lines = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    lines
        .map(|word| {
            let (mut bytes, mut out) = (word.bytes(), Vec::new());
            while let Some(byte) = bytes.next() {
                out.push(match byte {
                    b'\\' => match bytes.next().expect("something behind a backslash") {
                        b'x' => {
                            let mut digit =
                                || char::from(bytes.next().expect("a digit")).to_digit(16).expect("hex");
                            u8::try_from(digit() * 16 + digit()).expect("a byte")
                        }
                        byte => byte,
                    },
                    byte => byte,
                });
            }
            out
        })
        .collect()
}

/// Marsaglia's xorshift: randomness that can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % most.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn mutated(seeds: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = if random.below(8) == 0 { Vec::new() } else { random.of(seeds).clone() };
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let upto = (at + random.below(12)).min(input.len());
        match random.below(10) {
            0..=3 => drop(input.splice(at..at, random.of(words).iter().copied())),
            4 => drop(input.splice(at..upto, random.of(words).iter().copied())),
            5 => drop(input.drain(at..upto)),
            6 => input.insert(at, u8::try_from(random.below(256)).unwrap_or(0)),
            7 => {
                let again = input[at..upto].repeat(random.below(4));
                drop(input.splice(at..at, again));
            }
            8 => {
                let other = random.of(seeds);
                let from = random.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    input.truncate(LONGEST);
    input
}
