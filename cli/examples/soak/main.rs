//! The soak test (`docs/reliability.md`): uses `jitterbug` for a long time with all kinds of
//! commands, ends it at random moments and in places with faults, and checks each time that nothing
//! is lost.
//!
//! ```text
//! soak PROGRAM [--minutes N] [--seed N] [--scripts FOLDER]
//! ```
//! `PROGRAM` is the `jitterbug` to test, for `N` minutes (default 60). The random choices are a
//! function of the seed, which is printed. The exit status is 1 if there was any problem; each
//! problem is one line.

mod checks;
#[path = "../../../tests/e2e/child.rs"]
mod child;
mod draw;
mod place;
mod process;
mod rest;
mod status;
mod tally;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use draw::Random;
use place::Place;
use process::{Ending, Process};
use rest::{Kept, Long};
use tally::Tally;

/// The interval at which progress is printed.
const NEWS: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let Some(setting) = Setting::from_arguments() else {
        eprintln!("usage: soak PROGRAM [--minutes N] [--seed N] [--scripts FOLDER]");
        return ExitCode::from(2);
    };
    let root = env::temp_dir().join(format!("jitterbug-soak-{}", std::process::id()));
    fs::create_dir_all(&root).expect("a folder for this test");
    // A process that loses its parent becomes a child of this program, and is noticed.
    nix::sys::prctl::set_child_subreaper(true).expect("any process may be that");
    println!("seed {}, {} minutes, {}", setting.seed, setting.minutes, root.display());
    let tally = soak(&setting, &root);
    let _ = fs::remove_dir_all(&root);
    println!("\n{tally}");
    tally.problems().iter().for_each(|problem| println!("PROBLEM {problem}"));
    ExitCode::from(u8::from(!tally.problems().is_empty()))
}

/// The arguments.
struct Setting {
    program: PathBuf,
    minutes: f64,
    seed: u64,
    scripts: PathBuf,
}

impl Setting {
    fn from_arguments() -> Option<Self> {
        let mut arguments = env::args().skip(1);
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
        let program = fs::canonicalize(arguments.next()?).ok()?;
        let (minutes, seed, scripts) = (60.0, clock, "probes/scripts".into());
        let mut setting = Self { program, minutes, seed, scripts };
        while let Some(option) = arguments.next() {
            let value = arguments.next()?;
            match option.as_str() {
                "--minutes" => setting.minutes = value.parse().ok().filter(|n| *n > 0.0)?,
                "--seed" => setting.seed = value.parse().ok()?,
                "--scripts" => setting.scripts = value.into(),
                _ => return None,
            }
        }
        setting.scripts = fs::canonicalize(setting.scripts).ok()?;
        Some(setting)
    }
}

fn soak(setting: &Setting, root: &Path) -> Tally {
    let mut random = Random::new(setting.seed);
    let mut tally = Tally::new(place::can_mount(root));
    let mut kept = Kept::new(&setting.program, root);
    let (start, time) = (Instant::now(), Duration::from_secs_f64(setting.minutes * 60.0));
    let mut long = Long::start(&setting.program, root, time);
    let mut news = start + NEWS;
    let mut number = 0;
    while start.elapsed() < time {
        number += 1;
        let folder = root.join(number.to_string());
        let place = Place::make(&folder, random.place(tally.mounts));
        // Sometimes two processes write to the same place.
        let together = if random.one_in(6) { 2 } else { 1 };
        let drawn: Vec<_> =
            (0..together).map(|_| random.draw(&place, &kept, &setting.scripts, root)).collect();
        let processes: Vec<_> = drawn
            .iter()
            .map(|drawn| {
                let mut command = Command::new(&setting.program);
                command.args(&drawn.arguments).current_dir(root);
                Process::start(command, drawn)
            })
            .collect();
        let endings = process::run(processes, &place, &mut long);
        let died = endings.iter().any(Ending::died);
        for (drawn, ending) in drawn.iter().zip(&endings) {
            let mut problems = checks::ending(drawn, ending, &place);
            problems.extend(checks::what_was_said(drawn, ending, &place, &kept));
            tally.add(drawn, ending, place.name(), &problems, number);
        }
        place.open_up();
        let left = checks::files(&place, died, &kept, &mut random);
        tally.files(&left, &drawn, number);
        tally.orphans(&checks::orphans(&endings, &long), &drawn, number);
        kept.take(&place, &mut random);
        place.remove();
        if Instant::now() > news {
            println!("{:.0} min: {}", start.elapsed().as_secs_f64() / 60.0, tally.in_short());
            news += NEWS;
        }
    }
    tally.end(long.end());
    tally
}
