//! The claim: gdb goes through a replay forwards and backwards, and what it shows is what
//! jitterbug's own reports show (docs/gdb.md).

use std::path::Path;
use std::process::Command;

use crate::harness::{Finished, Running, jitterbug};
use crate::scratch::Folder;

tests! {
    KvmAndGdb: the_racing_store_is_found_backwards, stacks_are_jitterbugs_own,
        a_step_back_undoes_a_step, the_end_is_the_recorded_one, points_and_detaching, killing,
        nothing_is_written, at_instruction_granularity;
}

/// A finding in `tsc-sync`, and the guest's file for gdb.
struct Case {
    folder: Folder,
    finding: String,
}

impl Case {
    fn new(hunt: &str) -> Self {
        let folder = Folder::new();
        let hunt = jitterbug(hunt).arg("--json").arg("--out").arg(&*folder).within(120);
        let hunt = hunt.ends_with(1).json();
        let finding = hunt["findings"][0]["file"].as_str().expect("a finding").to_owned();
        folder.file("guest.elf", guests::find("tsc-sync").expect("a guest").image);
        Self { folder, finding }
    }

    fn start(&self) -> Running {
        let socket = self.folder.join("socket");
        let replay = jitterbug("replay").arg(&self.finding).arg("--gdb").arg(&socket);
        let running = replay.within(240).start();
        running.reports("waiting for gdb");
        running
    }

    /// What gdb prints for these commands.
    fn gdb(&self, commands: &[&str]) -> String {
        let socket = self.folder.join("socket");
        let connect = format!("target remote {}", socket.display());
        let first = ["set pagination off", "set confirm off", "set width 0", &connect];
        gdb(&self.folder.join("guest.elf"), first.iter().chain(commands))
    }

    /// The same, and the end of the replay with this status.
    fn session(&self, commands: &[&str], status: i32) -> (String, Finished) {
        let running = self.start();
        let text = self.gdb(commands);
        (text, running.ends_with(status))
    }
}

/// What gdb prints. It goes on behind a command that fails.
pub(crate) fn gdb<'a>(image: &Path, commands: impl Iterator<Item = &'a &'a str>) -> String {
    let arguments = commands.flat_map(|command| ["-ex", command]);
    // What a target prints is on standard error.
    let output = Command::new("sh")
        .args(["-c", r#"exec timeout 200 gdb -nx -batch "$@" 2>&1"#, "sh"])
        .args(arguments)
        .arg(image)
        .output()
        .expect("gdb");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The rest of the first line that has this text.
fn behind<'a>(text: &'a str, mark: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.split_once(mark));
    line.unwrap_or_else(|| panic!("no `{mark}` in {text}")).1
}

fn the_racing_store_is_found_backwards() {
    let case = Case::new("hunt tsc-sync");
    let (text, replay) = case.session(
        &["continue", "watch platform_type", "reverse-continue", "backtrace 2", "detach"],
        0,
    );
    assert!(text.contains("No more reverse-execution history"), "{text}");
    assert!(text.contains("Thread 2 hit Hardware watchpoint"), "{text}");
    assert!(text.contains("Old value = 3") && text.contains("New value = 0"), "{text}");
    let line = behind(&text, "determine_platform () at tsc-sync/");
    replay.says(&["reproduced: proven hang"]);
    let explain = jitterbug("explain").arg(&case.finding).within(240).start();
    let (_, explained) = explain.ends_with_any(&[0, 1]);
    // The report breaks its lines.
    let report = explained.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(report.contains(&format!("determine_platform ({line})")), "{line}: {report}");
}

/// The names of functions, innermost first, in the lines of a stack.
fn functions<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    lines.map(|line| line.trim().split(['+', ' ']).next().unwrap_or_default()).collect()
}

fn stacks_are_jitterbugs_own() {
    let case = Case::new("hunt tsc-sync");
    let (text, _) = case.session(
        &[
            "break get_hwenv",
            "continue",
            "echo <gdb>\\n",
            "backtrace",
            "echo <own>\\n",
            "monitor stacks",
            "echo <end>\\n",
            "info threads",
            "detach",
        ],
        0,
    );
    let (_, rest) = text.split_once("<gdb>\n").expect("the mark");
    let (frames, rest) = rest.split_once("<own>\n").expect("the mark");
    let (own, threads) = rest.split_once("<end>\n").expect("the mark");
    // A gdb without Python's modules complains in between.
    let frames = frames.lines().filter(|line| line.starts_with('#')).map(|line| {
        let name = line.split_once("  ").expect("a frame").1;
        name.split_once(" in ").map_or(name, |(_, name)| name)
    });
    let frames = functions(frames);
    let own: Vec<_> = own.lines().skip_while(|line| !line.contains("running")).skip(1).collect();
    let own = functions(own.into_iter().take_while(|line| line.starts_with("  ")));
    assert_eq!(frames[0], "get_hwenv", "{text}");
    // gdb also shows functions that were inlined, and nothing outside `main`.
    let mut frames = frames.into_iter();
    let own: Vec<_> = own.into_iter().take_while(|name| *name != "boot").collect();
    assert!(own.len() > 4 && own.iter().all(|name| frames.any(|frame| frame == *name)), "{text}");
    assert!(threads.contains("vCPU 0: running") && threads.contains("not started"), "{text}");
}

fn a_step_back_undoes_a_step() {
    let case = Case::new("hunt tsc-sync");
    let mut commands = vec!["break get_hwenv", "continue", "echo <0>\\n", "info registers"];
    commands.extend(["stepi", "echo <1>\\n", "info registers"]);
    commands.extend(["stepi", "echo <2>\\n", "info registers"]);
    commands.extend(["reverse-stepi", "echo <3>\\n", "info registers"]);
    commands.extend(["reverse-stepi", "echo <4>\\n", "info registers", "echo <5>\\n", "detach"]);
    let (text, _) = case.session(&commands, 0);
    let registers = |number: usize| {
        let (_, rest) = text.split_once(&format!("<{number}>\n")).expect("the mark");
        let rows = rest.lines().take_while(|line| !line.starts_with('<'));
        let rows: Vec<_> = rows.filter(|line| line.contains("0x")).collect();
        rows.into_iter().take_while(|line| !line.contains(" in ")).collect::<Vec<_>>()
    };
    let row = |number: usize| {
        let registers = registers(number);
        let kept = registers.into_iter().filter(|line| line.split_whitespace().count() >= 2);
        kept.filter(|line| !line.starts_with("0x")).take(24).collect::<Vec<_>>().join("\n")
    };
    assert!(row(0).contains("rip") && row(0).contains("gs"), "{text}");
    assert_ne!(row(0), row(1), "{text}");
    assert_ne!(row(1), row(2), "{text}");
    assert_eq!(row(3), row(1), "{text}");
    assert_eq!(row(4), row(0), "{text}");
}

fn the_end_is_the_recorded_one() {
    let case = Case::new("hunt tsc-sync");
    let (text, _) = case.session(
        &[
            "continue",
            "info threads",
            "monitor waits",
            "monitor point",
            "reverse-continue",
            "monitor point",
            "detach",
        ],
        0,
    );
    let finding = std::fs::read_to_string(&case.finding).expect("the finding");
    let points = behind(&finding, "points = ");
    assert!(text.contains(&format!("at the end of the replay, after {points} points")), "{text}");
    assert!(text.contains("vCPU 0: waits for tsc_sync_go to change from 0x1"), "{text}");
    assert!(text.contains("waiting: load from tsc_sync_go again and again"), "{text}");
    assert!(text.contains(&format!("at point 0 of {points}")), "{text}");
    assert_eq!(text.matches("No more reverse-execution history").count(), 2, "{text}");
}

fn points_and_detaching() {
    let case = Case::new("hunt tsc-sync");
    let commands = [
        "monitor point 50",
        "continue",
        "monitor point",
        "monitor schedule",
        "monitor point 20",
        "continue",
        "monitor point",
        "monitor point 1000",
        "monitor nonsense",
        "monitor help",
        "disconnect",
    ];
    let (text, replay) = case.session(&commands, 4);
    assert!(text.contains("at point 50 of 63") && text.contains("at point 20 of 63"), "{text}");
    assert!(text.contains("1000: not a point") && text.contains("no such command"), "{text}");
    assert!(text.contains("segment ") && text.contains('['), "{text}");
    replay.says(&["gone without `detach`"]);
}

fn killing() {
    let case = Case::new("hunt tsc-sync");
    case.session(&["continue", "kill"], 130).1.says(&["gdb has killed the replay"]);
    assert!(!case.folder.join("socket").exists());
}

fn nothing_is_written() {
    let case = Case::new("hunt tsc-sync");
    let commands = [
        "break get_hwenv",
        "continue",
        "set var platform_type = 7",
        "set $rax = 7",
        "print platform_type",
        "watch -l *(long *)$rsp",
        "continue",
        "delete 2",
        "continue",
        "detach",
    ];
    let (text, replay) = case.session(&commands, 0);
    assert!(text.contains("Cannot access memory") && text.contains("$1 = 3"), "{text}");
    assert!(text.contains("Could not insert hardware watchpoint"), "{text}");
    replay.says(&["nothing was written", "can't be watched", "reproduced: proven hang"]);
}

fn at_instruction_granularity() {
    let case = Case::new("hunt tsc-sync --granularity instruction --runs 2000");
    let commands = [
        "break get_hwenv",
        "continue",
        "print $pc",
        "stepi",
        "reverse-stepi",
        "print $pc",
        "delete",
        "continue",
        "detach",
    ];
    let (text, _) = case.session(&commands, 0);
    assert!(text.contains("No more reverse-execution history"), "{text}");
    let pc = behind(&text, "$1 = ");
    assert_eq!(behind(&text, "$2 = "), pc, "{text}");
}
