//! The claims: `hunt` finds every bug of the catalogue, proves hangs at once, and names what each
//! vCPU waits for; `replay` reproduces a finding exactly and refuses files that are not findings; a
//! fixed twin has no failures; a run that no schedule describes is reported.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cases;
use crate::harness::{jitterbug, limited};
use crate::scratch::Folder;
use crate::screen::Screen;

tests! {
    Kvm: the_race_is_proven_and_replays, the_hosts_tsc_is_noticed,
        a_guest_that_compares_clocks_is_repeatable, a_runaway_is_brought_back,
        a_schedule_is_followed, an_impossible_schedule_is_refused,
        what_is_found_does_not_depend_on_the_jobs, each_machine_has_its_own_timer,
        an_error_of_many_jobs_is_told_once, ctrl_c_ends_in_order, damaged_findings_are_refused,
        a_finding_of_another_run_is_not_reproduced, the_live_line, the_end_says_how_to_go_on,
        the_shortest_of_a_kind_are_kept, nothing_is_overwritten, a_finding_is_not_lost,
        what_has_one_interleaving_is_exhausted;
    QuickKvm: every_bug_is_found, pct_finds_every_bug_at_its_depth, no_fixed_twin_fails,
        every_schedule_comes_out_the_same_twice;
    Nothing: what_is_no_finding_is_refused, a_bad_search_is_refused;
}

/// Hunts and returns the report; findings are written to `folder`.
fn hunt(folder: &Folder, arguments: &str, status: i32) -> Value {
    jitterbug(&format!("hunt {arguments} --json --out")).arg(&**folder).ends_with(status).json()
}

fn the_race_is_proven_and_replays() {
    let folder = Folder::new();
    let report = hunt(&folder, "tsc-sync --cpus 6 --runs 500", 1);
    let found = &report["findings"][0];
    assert_eq!(found["finding"]["verdict"], "proven hang", "{report:#}");
    let waits = found["finding"]["waits"].as_array().expect("a table");
    assert_eq!(waits.len(), 6);
    assert!(waits[0]["stack"].as_str().unwrap().starts_with("tsc_sync_master"), "{report:#}");
    assert_eq!(waits[0]["values"][0]["variable"], "tsc_sync_go");
    let stuck: Vec<_> =
        waits.iter().filter(|w| w["values"][0]["variable"] == "procset_slave").collect();
    assert_eq!(stuck.len(), 1, "{report:#}");
    assert!(stuck[0]["stack"].as_str().unwrap().starts_with("mp_startup_signal"), "{report:#}");

    jitterbug("replay --repeat 20")
        .arg(found["file"].as_str().unwrap())
        .ends_with(0)
        .shows("")
        .says(&["reproduced 20 times: proven hang"]);
}

fn catalogue() -> Vec<Value> {
    jitterbug("guests --json").ends_with(0).json()["guests"].as_array().expect("a list").clone()
}

fn every_bug_is_found() {
    let folder = Folder::new();
    let mut found = 0;
    for guest in catalogue().iter().filter(|guest| guest["bug"].is_object()) {
        let name = guest["name"].as_str().unwrap();
        let report = hunt(&folder, &format!("{name} --runs 5000"), 1);
        let verdict = report["findings"][0]["finding"]["verdict"].as_str().unwrap();
        let expected = match guest["bug"]["shows_as"].as_str().unwrap() {
            "hang" => "proven hang",
            "triple fault" => "triple fault",
            _ => "the guest's failure code",
        };
        assert!(verdict.starts_with(expected), "{name}: {verdict}");
        found += 1;
    }
    assert!(found >= 17, "only {found} guests have a bug");
}

/// This includes bugs that need one vCPU preempted twice, or two vCPUs preempted in the right
/// order.
fn pct_finds_every_bug_at_its_depth() {
    let folder = Folder::new();
    let mut found = 0;
    for guest in catalogue().iter().filter(|guest| guest["bug"].is_object()) {
        let (name, depth) = (guest["name"].as_str().unwrap(), &guest["bug"]["depth"]);
        let search = format!("{name} --strategy pct --depth {depth} --runs 5000");
        assert_eq!(hunt(&folder, &search, 1)["depth"], *depth, "{name}");
        found += 1;
    }
    assert!(found >= 17, "only {found} guests have a bug");
}

fn no_fixed_twin_fails() {
    let folder = Folder::new();
    for guest in catalogue().iter().filter(|guest| guest["bug"].is_object()) {
        let twin = guest["bug"]["fixed_twin"].as_str().unwrap();
        for strategy in ["portfolio", "random", "pct"] {
            let report = hunt(&folder, &format!("{twin} --strategy {strategy} --runs 100"), 0);
            assert!(report["runs"] == 100 || report["exhausted"] == true, "{twin}: {report:#}");
            assert!(report["choices"].as_u64() > report["runs"].as_u64(), "{twin}: {report:#}");
            assert_eq!(report["cut_short"], 0, "{twin}");
        }
    }
}

fn every_schedule_comes_out_the_same_twice() {
    let folder = Folder::new();
    for guest in ["lost-wakeup", "irq-mainline", "tlb-shootdown", "tsc-sync"] {
        let report = hunt(&folder, &format!("{guest} --runs 60 --keep-going --verify --seed 3"), 1);
        assert_eq!((&report["runs"], &report["diverged"]), (&60.into(), &0.into()), "{guest}");
    }
}

/// Code that the guest makes at run time reads the host's time, which it writes to shared memory.
fn the_hosts_tsc_is_noticed() {
    jitterbug("hunt --cpus 2 --runs 3 --verify")
        .arg(&*cases::image("made-code"))
        .ends_with(1)
        .shows("")
        .says(&["the same schedule came out differently", "3 not repeatable"]);
}

/// Without VMware's port, tsc-sync compares TSCs, which are virtual.
fn a_guest_that_compares_clocks_is_repeatable() {
    jitterbug("hunt tsc-sync --identity none --runs 10 --verify")
        .ends_with(0)
        .shows("")
        .says(&["10 runs (", "0 failed, 0 cut short, 0 not repeatable"]);
}

fn a_runaway_is_brought_back() {
    jitterbug("hunt spin --runs 1").ends_with(4).shows("").says(&[
        "1 cut short",
        " ran away in spin_inner+0x",
        "no run came to its end",
    ]);
    let report = jitterbug("hunt spin --cpus 1 --runs 1 --json").ends_with(4).json();
    assert_eq!((&report["status"], &report["exhausted"]), (&4.into(), &false.into()));
    assert_eq!(report["outcome"], "nothing completed");
    assert_eq!(report["cut_short_at"][0]["runs"], 1, "{report:#}");
}

fn a_schedule_is_followed() {
    let folder = Folder::new();
    let report = hunt(&folder, "abba --runs 500", 1);
    let (found, verdict) = (&report["findings"][0], "proven hang");
    let schedule = found["finding"]["schedule"].as_str().unwrap();
    let file = folder.file("schedule", schedule.replace('>', " >\n"));
    for given in [
        schedule.to_owned(),
        format!("@{}", file.display()),
        format!("@{}", found["file"].as_str().unwrap()),
    ] {
        let again = folder.join("again");
        let report = jitterbug("hunt abba --json --schedule")
            .arg(given)
            .arg("--out")
            .arg(&again)
            .ends_with(1)
            .json();
        let finding = &report["findings"][0]["finding"];
        assert_eq!((&report["runs"], &finding["verdict"]), (&1.into(), &verdict.into()));
        assert_eq!(finding["schedule"], schedule);
        assert_eq!(finding["run"]["hash"], found["finding"]["run"]["hash"]);
    }
    // After its end the last vCPU goes on, as in a plain run.
    assert_eq!(hunt(&folder, "abba --schedule 0@3", 0)["runs"], 1);
    assert_eq!(hunt(&folder, "abba --strategy round-robin", 1)["runs"], 1);
}

fn an_impossible_schedule_is_refused() {
    for (schedule, said) in [
        ("0@3>1@4", "point 3: not vCPU 1 (it is not started): possible are vCPU 0"),
        ("0@3>9@1", "point 3: not vCPU 9 (of 2 vCPUs)"),
        ("0@300", "not vCPU 0 (it waits for a value to change): possible are vCPU 1"),
        ("0@5>0!", "point 5: not vCPU 0's interrupt (none is pending"),
    ] {
        let refused = jitterbug("hunt abba --schedule").arg(schedule).ends_with(2).shows("");
        refused.says(&["schedule: ", said]);
    }
}

fn what_is_found_does_not_depend_on_the_jobs() {
    let folder = Folder::new();
    for search in [
        "tsc-sync --runs 2000",
        "pct-1b --strategy pct --runs 2000",
        "lock-cycle --strategy uniform --runs 2000",
        "aba-stack --runs 2000",
    ] {
        let of = |jobs: u32| {
            let mut report = hunt(&folder, &format!("{search} --jobs {jobs}"), 1);
            assert_eq!(report["findings"].as_array().map(Vec::len), Some(1));
            report["seconds"] = Value::Null;
            report["findings"][0]["after_seconds"] = Value::Null;
            report
        };
        let alone = of(1);
        assert_eq!(
            alone["runs"],
            alone["findings"][0]["finding"]["search"]["run"].as_u64().unwrap() + 1
        );
        assert_eq!(alone, of(2));
        assert_eq!(alone, of(5));
    }
    let all = hunt(&folder, "abba --runs 300 --keep-going --jobs auto", 1);
    assert_eq!(all["runs"], 300);
    let alone = hunt(&folder, "abba --runs 300 --keep-going", 1);
    for same in ["hashes", "methods", "failed", "distinct"] {
        assert_eq!(all[same], alone[same], "{same}");
    }
    assert!(all["failed"].as_u64() > Some(10), "{all:#}");
}

/// Each thread's alarm timer kicks the vCPU that this thread runs.
fn each_machine_has_its_own_timer() {
    let said = jitterbug("hunt spin --runs 3 --jobs 3").ends_with(4).shows("");
    said.says(&["3 runs (", "3 cut short"]);
}

fn an_error_of_many_jobs_is_told_once() {
    let refused = jitterbug("hunt abba --schedule 9@1 --runs 50 --jobs 4").ends_with(2).shows("");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
}

fn ctrl_c_ends_in_order() {
    let mut screen = Screen::new();
    let running = jitterbug("hunt abba-fixed --jobs 2 --verify").stderr(screen.tty()).start();
    screen.wait_for("50 runs");
    running.signal(Signal::SIGINT);
    let rest = screen.rest();
    running.ends_with(130).shows("");
    let rest = rest.join().expect("the rest");
    let end = rest.rsplit("jitterbug: interrupted: ").next().unwrap_or_default();
    assert!(end.contains("distinct) in ") && end.contains(", 0 not repeatable"), "{rest}");
    assert!(!end.starts_with("0 runs"), "{rest}");
}

fn damaged_findings_are_refused() {
    let folder = Folder::new();
    let report = hunt(&folder, "abba --runs 500", 1);
    let file = report["findings"][0]["file"].as_str().unwrap();
    let text = fs::read_to_string(file).unwrap();
    let damaged = |from: &str, to: &str, expected: &str, status| {
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
        jitterbug("replay").arg(file).ends_with(status).shows("").says(&[file, expected]);
    };
    damaged("version = 3", "version = 1", "version 1, and this program reads 2 and 3", 2);
    damaged("version = 3", "version = 4", "version 4, and this program reads 2 and 3", 2);
    damaged("schedule = \"0@", "schedule = \"x@", "schedule: `x@", 2);
    damaged("schedule = \"0@", "schedule = \"7@", "vCPU 7, of 2 vCPUs", 2);
    damaged("guest_hash = \"", "guest_hash = \"0", "is no hash", 2);
    damaged("cpus = 2", "cpus = \"2\"", "line 9: invalid type", 2);
    for length in [1, 30, 60, text.len() / 3, text.len() / 2, text.len() - 20, text.len() - 5] {
        fs::write(file, &text[..length]).unwrap();
        let expected = if length < 25 { "not a finding" } else { "truncated" };
        jitterbug("replay").arg(file).ends_with(2).shows("").says(&[file, expected]);
    }
    fs::write(file, b"\x7fELF\xff\xfe\0\x80").unwrap();
    jitterbug("replay").arg(file).ends_with(2).shows("").says(&[file, "not a text"]);
}

/// A wrong finding whose file is not damaged is noticed when it is run.
fn a_finding_of_another_run_is_not_reproduced() {
    let folder = Folder::new();
    let report = hunt(&folder, "abba --runs 500", 1);
    let found = &report["findings"][0];
    let file = found["file"].as_str().unwrap();
    let text = fs::read_to_string(file).unwrap();
    let hash = found["finding"]["run"]["hash"].as_str().unwrap();
    let other = |c: char| if c == '0' { '1' } else { '0' };
    let turned: String = hash.chars().map(other).collect();
    for (from, to) in [(hash, turned.as_str()), ("@", "@1"), ("proven hang", "success")] {
        fs::write(file, text.replacen(from, to, 1)).unwrap();
        let replayed = jitterbug("replay").arg(file).ends_with(1).shows("");
        replayed.says(&["not reproduced: at point "]);
    }
}

fn what_is_no_finding_is_refused() {
    jitterbug("replay /nonexistent").ends_with(2).says(&["/nonexistent"]);
    jitterbug("replay /dev/null").ends_with(2).says(&["/dev/null", "it is empty"]);
    jitterbug("replay ../probes/scripts/one-good-probe.vp").ends_with(2).says(&["not a finding"]);
}

fn a_bad_search_is_refused() {
    jitterbug("hunt tsc-sync --strategy clever")
        .ends_with(2)
        .says(&["portfolio, random, uniform, pct, round-robin or"]);
    jitterbug("hunt tsc-sync --strategy schedule").ends_with(2).says(&["--schedule"]);
    jitterbug("hunt tsc-sync --strategy pct --schedule 0@1").ends_with(2).says(&["not for pct"]);
    jitterbug("hunt tsc-sync --schedule 0@").ends_with(2).says(&["`0@` is not like 0@120"]);
    jitterbug("hunt tsc-sync --schedule @/nonexistent").ends_with(2).says(&["@/nonexistent"]);
    jitterbug("hunt tsc-sync --schedule @/dev/null").ends_with(2).says(&["it is empty"]);
    jitterbug("hunt tsc-sync --schedule @/dev/zero").ends_with(2).says(&["longer than 64 MiB"]);
    jitterbug("hunt tsc-sync --runs 0").ends_with(2).says(&["--runs"]);
    jitterbug("hunt tsc-sync --jobs 0").ends_with(2).says(&["from 1 to 1024, or auto"]);
    jitterbug("hunt tsc-sync --depth 0").ends_with(2).says(&["--depth"]);
    jitterbug("hunt no-such-guest").ends_with(2).says(&["catalogue"]);
}

fn the_live_line() {
    let mut screen = Screen::new();
    let running = jitterbug("hunt abba-fixed --jobs 2").stderr(screen.tty()).start();
    let shown = screen.wait_for("50 runs");
    running.signal(Signal::SIGINT);
    // Its further output must be read.
    screen.rest();
    running.ends_with(130).shows("");
    let line = shown.split(['\r', '\n']).rfind(|line| line.contains("0 runs")).unwrap_or_default();
    for part in [" runs, ", " runs/s, ", " distinct schedules, ", " 0 failures"] {
        assert!(line.contains(part), "no `{part}` in `{line}`");
    }
}

fn the_end_says_how_to_go_on() {
    let folder = Folder::new();
    let out = folder.join("a folder");
    let hunt = jitterbug("hunt abba --runs 40 --keep-going --out").arg(&out).ends_with(1).shows("");
    let last = hunt.stderr.lines().rev().take(2).collect::<Vec<_>>();
    assert!(last[0].starts_with("jitterbug: 40 runs (") && last[0].contains(" failed, "), "{hunt}");
    assert!(last[1].contains(" times: hang in move_to_a"), "{hunt}");
    let command = last[1].split(": ").last().expect("a command");
    let path = command.strip_prefix("jitterbug replay '").and_then(|p| p.strip_suffix('\''));
    jitterbug("replay").arg(path.expect(command)).ends_with(0).says(&["reproduced: proven hang"]);
}

fn the_shortest_of_a_kind_are_kept() {
    let folder = Folder::new();
    let report = hunt(&folder, "abba --runs 100 --keep-going", 1);
    let groups = report["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{report:#}");
    assert_eq!(groups[0]["times"], report["failed"]);
    let kept = report["findings"].as_array().unwrap();
    assert_eq!(kept.len(), 3);
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 3);
    let length = |found: &Value| found["finding"]["run"]["switches"].as_array().unwrap().len();
    let first = &hunt(&folder, "abba --runs 100", 1)["findings"][0];
    assert!(kept.iter().map(length).max() <= Some(length(first)), "{report:#}");
    for found in kept {
        jitterbug("replay").arg(found["file"].as_str().unwrap()).ends_with(0);
    }
}

/// A run of another machine with the same name, and then the same once more.
fn nothing_is_overwritten() {
    let folder = Folder::new();
    let first = hunt(&folder, "abba --runs 500", 1);
    let schedule = first["findings"][0]["finding"]["schedule"].as_str().unwrap();
    fs::remove_file(first["findings"][0]["file"].as_str().unwrap()).unwrap();
    let file = |arguments: &str| {
        let report = hunt(&folder, &format!("abba --schedule {schedule} {arguments}"), 1);
        report["findings"][0]["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(file(""), "abba-1-0.finding");
    assert_eq!(file(""), "abba-1-0.finding");
    assert_eq!(file("--cmdline another"), "abba-1-0.1.finding");
    assert_eq!(file("--cmdline more"), "abba-1-0.2.finding");
    assert_eq!(file("--cmdline another"), "abba-1-0.1.finding");
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 3);
}

/// The disk has no room for the file: the finding's text is on the terminal, and can be replayed
/// from there.
fn a_finding_is_not_lost() {
    let folder = Folder::new();
    let no_room = "ulimit -f 0";
    let hunt = limited(no_room, "hunt abba --runs 500 --json --out").arg(&*folder).ends_with(6);
    let hunt =
        hunt.says(&["can't be written: File too large", "the finding follows", "# end of finding"]);
    let report = hunt.json();
    assert_eq!((&report["outcome"], &report["failed"]), (&"not written".into(), &1.into()));
    assert_eq!(report["findings"][0]["file"], Value::Null);
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 0, "something is left");
    let said = hunt.stderr.clone();
    let from = said.find("# jitterbug finding").expect("a finding");
    let end = "# end of finding\n";
    let to = said.find(end).expect("its end") + end.len();
    let file = folder.file("from-terminal.finding", &said[from..to]);
    jitterbug("replay").arg(file).ends_with(0).says(&["reproduced: proven hang"]);
}

fn what_has_one_interleaving_is_exhausted() {
    jitterbug("hunt hello --cpus 1").ends_with(0).shows("").says(&[
        "exhausted: every interleaving of these scheduling points was run",
        "warning: next to nothing was searched",
        "jitterbug: 1 runs (1 distinct)",
    ]);
    let folder = Folder::new();
    let report = hunt(&folder, "hello --cpus 1", 0);
    assert_eq!((&report["exhausted"], &report["choices"]), (&true.into(), &0.into()));
}
