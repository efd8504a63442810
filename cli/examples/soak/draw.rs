//! Draws the next command, and what is done to it, from the seed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::place::{Place, PlaceKind};
use crate::rest::Kept;

/// Guests with a bug whose runs end by themselves within about a second.
const BUGGY: &[&str] = &[
    "lost-update",
    "ticket-lock",
    "refcount",
    "seqlock",
    "pct-1b",
    "double-init",
    "aba-stack",
    "abba",
    "lock-cycle",
    "tsc-sync",
];
/// Guests whose runs succeed.
const SOUND: &[&str] =
    &["tsc-sync-fixed", "lost-update-fixed", "ticket-lock-fixed", "seqlock-fixed", "hello"];
/// Scripts for `run`, each with a guest that has the functions that it names.
const SCRIPTS: &[(&str, &str)] = &[
    ("spins.emt", "spin"),
    ("one-good-probe.vp", "spin"),
    ("exits.emt", "spin"),
    ("exits.emt", "tsc-sync-fixed"),
    ("ap-boot.emt", "tsc-sync-fixed"),
    ("spins.emt", "tsc-sync-fixed"),
];
/// Scripts for any replay.
const REPLAYED: &[&str] = &["exits.emt", "ipi-points.emt", "spins.emt"];

/// The kind of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Hunt,
    Jitter,
    Script,
    Chatty,
    Replay,
    Explain,
}

/// What is done to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Nothing: the process ends by itself.
    Nothing,
    Kill,
    Interrupt,
    Terminate,
    /// SIGINT, and a second SIGINT after this time.
    Twice(Duration),
}

/// When it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    After(Duration),
    /// This time after a new file appears in the place.
    Written(Duration),
}

/// What the reader of a standard stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Reads,
    /// It has closed the stream from the start.
    Gone,
    /// It closes the stream after this time.
    Goes(Duration),
    /// It reads nothing, and this number of bytes is already in the pipe.
    Stalls(usize),
}

/// A command, and what is done to its process.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) kind: Kind,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) event: Event,
    pub(crate) moment: Moment,
    pub(crate) stdout: Reader,
    pub(crate) stderr: Reader,
    pub(crate) json: bool,
}

/// The source of all random choices.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// From 2 ms to 4 s, with a uniform logarithm.
    fn moment(&mut self) -> Duration {
        Duration::from_secs_f64(10f64.powf(self.0.random_range(-2.7..0.6)))
    }

    pub(crate) fn place(&mut self, mounts: bool) -> PlaceKind {
        match self.below(20) {
            0..4 if mounts => PlaceKind::Full(self.below(5)),
            4 if mounts => PlaceKind::FillsUp(self.moment()),
            5 => PlaceKind::ReadOnly,
            6 => PlaceKind::DevFull,
            _ => PlaceKind::Sound,
        }
    }

    fn reader(&mut self, stalls: bool) -> Reader {
        match self.below(10) {
            0 => Reader::Gone,
            1 => Reader::Goes(self.moment()),
            2 if stalls => Reader::Stalls(65_536),
            3 if stalls => Reader::Stalls(self.below(65_536) as usize),
            _ => Reader::Reads,
        }
    }

    fn event(&mut self) -> Event {
        match self.below(20) {
            0..5 => Event::Kill,
            5..12 => Event::Interrupt,
            12..14 => Event::Terminate,
            14..16 => Event::Twice(Duration::from_millis(self.below(700))),
            _ => Event::Nothing,
        }
    }

    /// Draws a command for this place.
    pub(crate) fn draw(
        &mut self,
        place: &Place,
        kept: &Kept,
        scripts: &Path,
        root: &Path,
    ) -> Drawn {
        let event = self.event();
        let ends = event == Event::Nothing;
        let kind = match self.below(20) {
            8..11 => Kind::Jitter,
            11..14 => Kind::Script,
            14..16 => Kind::Chatty,
            16..18 if !kept.is_empty() => Kind::Replay,
            18.. if !kept.is_empty() => Kind::Explain,
            // 0 to 7, and commands that need a finding while there is none.
            _ => Kind::Hunt,
        };
        let json = kind != Kind::Chatty && self.one_in(3);
        let mut words = Words::default();
        match kind {
            Kind::Hunt => self.hunt(&mut words, place, ends),
            Kind::Jitter => self.jitter(&mut words, ends),
            Kind::Script => self.script(&mut words, place, scripts, ends),
            Kind::Chatty => {
                words.add("run --cpus 1").path(&root.join("chatty.elf"));
                words.add(if ends { "--timeout 1s" } else { "--timeout 20s" });
                self.trace(&mut words, place);
            }
            Kind::Replay => self.replay(&mut words, kept, scripts, ends),
            Kind::Explain => {
                words.add("explain").path(kept.one(self)).add("--out").path(&place.folder);
                if self.one_in(3) {
                    words.add("--html").path(&place.file("page.html"));
                }
            }
        }
        if json {
            words.add("--json");
        }
        // A process that waits for a reader waits until a signal ends it.
        let (stdout, stderr) = (self.reader(!ends), self.reader(!ends));
        let moment = match self.below(4) {
            0 if kind == Kind::Hunt => {
                Moment::Written(Duration::from_micros(self.below(2) * self.below(20_000)))
            }
            _ => Moment::After(self.moment()),
        };
        Drawn { kind, arguments: words.0, event, moment, stdout, stderr, json }
    }

    fn hunt(&mut self, words: &mut Words, place: &Place, ends: bool) {
        let sound = self.one_in(6);
        let guest = self.one_of(if sound { SOUND } else { BUGGY });
        words.add("hunt").add(guest).add("--out").path(&place.folder);
        words.add(&format!("--seed {}", self.below(1_000_000)));
        if self.one_in(2) {
            words.add("--jobs 2");
        }
        if !self.one_in(4) {
            words.add("--keep-going");
        }
        // A finding with granularity `instruction` can't be explained.
        let explains = !ends && self.one_in(6);
        if !explains && self.one_in(8) {
            words.add("--granularity instruction --strategy pct");
        } else if self.one_in(4) {
            words.add(self.one_of(&["--strategy random", "--strategy uniform", "--verify", "-v"]));
        }
        if explains {
            words.add("--explain");
        }
        if ends {
            words.add(&format!("--time {}ms", 200 + self.below(2000)));
        } else {
            words.add("--time 20s");
        }
    }

    fn jitter(&mut self, words: &mut Words, ends: bool) {
        // A run of a guest that hangs takes as long as its watchdog.
        let guest = if ends { "lost-update" } else { self.one_of(BUGGY) };
        let sound = self.one_in(2);
        words.add("run").add(if sound { self.one_of(SOUND) } else { guest }).add("--jitter boot");
        words.add(&format!("--seed {}", self.below(1_000_000)));
        let most = if ends { 10 } else { 10_000 };
        words.add(&format!("--repeat {}", 1 + self.below(most)));
        if !ends && self.one_in(4) {
            words.add("--until-failure");
        }
    }

    fn script(&mut self, words: &mut Words, place: &Place, scripts: &Path, ends: bool) {
        let (script, guest) = self.one_of(SCRIPTS);
        words.add("run").add(guest).add("--probe").path(&scripts.join(script));
        words.add(if ends { "--timeout 1500ms" } else { "--timeout 20s" });
        if self.one_in(3) {
            words
                .add("-e")
                .path(Path::new("VMM:PROFILE:1msec { printf(\"%d %x\\n\", VCPUID, RIP); }"));
        }
        self.trace(words, place);
    }

    fn trace(&mut self, words: &mut Words, place: &Place) {
        if self.one_in(2) {
            words.add("--trace").path(&place.file("trace"));
        }
    }

    fn replay(&mut self, words: &mut Words, kept: &Kept, scripts: &Path, ends: bool) {
        words.add("replay").path(kept.one(self));
        let most = if ends { 10 } else { 10_000 };
        words.add(&format!("--repeat {}", 1 + self.below(most)));
        if self.one_in(2) {
            words.add("--probe").path(&scripts.join(self.one_of(REPLAYED)));
        }
    }
}

/// Arguments that are being collected.
#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    /// Adds words that are separated by spaces.
    fn add(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split_ascii_whitespace().map(OsString::from));
        self
    }

    /// Adds one word, whatever characters it contains.
    fn path(&mut self, path: &Path) -> &mut Self {
        self.0.push(path.into());
        self
    }
}
