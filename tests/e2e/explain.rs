//! The claims: for every bug of the catalogue, `explain` says which accesses decide, proves it, and
//! finds a short schedule; a fixed twin has nothing to explain; the files that it writes can be
//! used.

use std::fs;
use std::path::Path;
use std::time::Instant;

use guests::Bug;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::jitterbug;
use crate::image::{Counter, count_and_wait, start_and_look};
use crate::scratch::Folder;

tests! {
    QuickKvm: the_flagship_is_explained, every_bug_is_explained, no_fixed_twin_is_explained,
        what_it_writes_can_be_used, a_trace_is_written, ctrl_c_ends_it, ctrl_c_leaves_out_what_follows_a_search,
        a_hang_by_budget_is_looked_at, what_fails_by_itself_is_turned_round,
        a_hang_of_run_is_found_again, what_run_saw_may_not_be_found;
    Kvm: bad_requests_are_refused;
    Nothing: what_is_no_finding_is_refused;
}

/// Finds a failure of a guest, and returns the finding's file.
pub(crate) fn finding(folder: &Folder, guest: &str) -> String {
    // There is a long prefix before the bug, which a random walk hardly ever gets through (PCT,
    // figure 5).
    let strategy = if guest == "pct-5" { "pct --depth 1" } else { "random" };
    let command = format!("hunt {guest} --strategy {strategy} --runs 5000 --json --out");
    let report = jitterbug(&command).arg(&**folder).within(300).ends_with(1).json();
    report["findings"][0]["file"].as_str().expect("a file").to_owned()
}

fn the_flagship_is_explained() {
    let folder = Folder::new();
    let html = folder.join("report.html");
    let report = jitterbug("hunt tsc-sync --cpus 6 --explain --json --html")
        .arg(&html)
        .arg("--out")
        .arg(&*folder)
        .within(300)
        .ends_with(1)
        .json();
    let cause = &report["explanation"];
    assert_eq!(cause["shown"], true, "{cause:#}");
    let summary = cause["summary"][0].as_str().unwrap();
    for part in [
        "read of `platform_type` in `get_hwenv`",
        "fell between",
        "stores of 0x0 and of 0x3 in `determine_platform`",
    ] {
        assert!(summary.contains(part), "{summary}");
    }
    let stack = cause["pairs"][0]["second"]["stack"].to_string();
    assert!(stack.contains("get_hwenv") && stack.contains("tsc_sync_master"), "{stack}");
    for pair in cause["pairs"].as_array().unwrap() {
        assert_eq!(pair["reversed"]["runs"], 100);
        assert!(pair["reversed"]["failed"].as_u64().unwrap() <= 1, "{pair:#}");
    }
    assert!(cause["forced"]["failed"].as_u64().unwrap() >= 99, "{:#}", cause["forced"]);
    assert!(cause["chance"]["failed"].as_u64().unwrap() < 99, "chance alone does it");
    assert!(cause["unrelated"]["turned"]["failed"].as_u64().unwrap() >= 99, "{cause:#}");
    assert!(cause["schedule"]["preemptions"].as_u64().unwrap() <= 1, "{:#}", cause["schedule"]);
    assert!(fs::read_to_string(html).unwrap().contains("determine_platform"));
}

/// Whether a pair of the report is one of the pairs in the catalogue.
fn is_known(pair: &Value, bug: &Bug) -> bool {
    bug.has_pair(|side, field| pair[side][field].as_str().unwrap_or_default())
}

/// Prints the table of docs/performance.md.
fn every_bug_is_explained() {
    let folder = Folder::new();
    let bugs: Vec<_> =
        guests::catalogue().iter().filter_map(|guest| Some((guest, guest.bug.as_ref()?))).collect();
    let (mut right, mut times, mut searches) = (0, Vec::new(), Vec::new());
    eprintln!(
        "| guest | runs to find it | runs for the figures | seconds | preemptions | depth | switches | pair |"
    );
    for (guest, bug) in &bugs {
        let file = finding(&folder, guest.name);
        let start = Instant::now();
        let cause = jitterbug("explain --json").arg(&file).within(300).ends_with(0).json();
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(cause["shown"], true, "{}: {cause:#}", guest.name);
        let known = cause["pairs"].as_array().unwrap().iter().any(|pair| is_known(pair, bug));
        right += usize::from(known);
        let schedule = &cause["schedule"];
        let preemptions = schedule["preemptions"].as_u64().unwrap();
        eprintln!(
            "| `{}` | {} | {} | {seconds:.1} | {preemptions} | {} | {} | {} |",
            guest.name,
            cause["cost"]["search_runs"],
            cause["cost"]["proof_runs"],
            bug.depth,
            schedule["switches"].as_array().unwrap().len(),
            if known { "right" } else { "other" },
        );
        assert!(preemptions < u64::from(bug.depth), "{}: {schedule:#}", guest.name);
        assert!(known || guest.name != "tsc-sync", "{cause:#}");
        times.push(seconds);
        searches.push(cause["cost"]["search_runs"].as_u64().unwrap());
    }
    times.sort_by(f64::total_cmp);
    searches.sort_unstable();
    let middle = bugs.len() / 2;
    eprintln!(
        "median: {} runs to find it, {:.1} s; {right} of {}",
        searches[middle],
        times[middle],
        bugs.len()
    );
    assert!(bugs.len() >= 17 && right * 10 >= bugs.len() * 9, "{right} of {}", bugs.len());
    assert!(searches[middle] <= 300, "{searches:?}");
}

fn no_fixed_twin_is_explained() {
    let folder = Folder::new();
    let bugs = guests::catalogue().iter().filter_map(|guest| guest.bug.as_ref());
    for bug in bugs {
        jitterbug(&format!("hunt {} --runs 20 --explain --out", bug.fixed_twin))
            .arg(&*folder)
            .ends_with(0)
            .shows("")
            .says(&["nothing to explain"]);
    }
}

fn what_it_writes_can_be_used() {
    let folder = Folder::new();
    let file = finding(&folder, "lost-update");
    let cause = jitterbug("explain --json").arg(&file).ends_with(0).json();
    let shortest = file.replace(".finding", "-shortest.finding");
    jitterbug("replay --repeat 3").arg(&shortest).ends_with(0).says(&["reproduced 3 times"]);
    // The schedule that differs by one order passes.
    let passes = cause["apart"]["passing_schedule"].as_str().unwrap();
    let again = folder.join("again");
    jitterbug("hunt lost-update --schedule").arg(passes).arg("--out").arg(&again).ends_with(0);
    let fails = cause["schedule"]["text"].as_str().unwrap();
    jitterbug("hunt lost-update --schedule").arg(fails).arg("--out").arg(&again).ends_with(1);
    // The shortest schedule stays the same when it is explained again.
    let again = jitterbug("explain --json").arg(&shortest).ends_with(0).json();
    assert_eq!(again["schedule"]["text"], cause["schedule"]["text"]);
    assert!(!fs::exists(shortest.replace("-shortest", "-shortest-shortest")).unwrap());

    // The report is printed wherever the file is written, and even if it can't be written.
    let elsewhere = folder.join("a/b");
    jitterbug("explain").arg(&file).arg("--out").arg(&elsewhere).ends_with(0);
    let name = Path::new(&shortest).file_name().unwrap();
    assert_eq!(fs::read(elsewhere.join(name)).unwrap(), fs::read(&shortest).unwrap());
    let taken = folder.file("taken", "");
    jitterbug("explain").arg(&file).arg("--out").arg(&taken).ends_with(2).says(&["--out", "taken"]);
    fs::remove_file(&shortest).unwrap();
    fs::create_dir(&shortest).unwrap();
    let page = jitterbug("explain").arg(&file).ends_with(0).says(&["--out names another folder"]);
    assert!(page.stdout.contains("fell between"), "{page}");
    fs::remove_dir(&shortest).unwrap();

    // The text for the terminal is at most 100 columns wide.
    let page = jitterbug("explain").arg(&file).ends_with(0);
    assert!(page.stdout.contains("fell between"), "{page}");
    // Without symbols there are addresses in place of names, and no file names.
    let nameless = jitterbug("explain --symbols none").arg(&file).ends_with(0);
    assert!(nameless.stdout.contains("gpa 0x"), "{nameless}");
    assert!(!nameless.stdout.contains("()"), "{nameless}");
    let both = page.stdout.lines().chain(nameless.stdout.lines());
    let long: Vec<_> = both.filter(|line| line.chars().count() > 100).collect();
    assert!(long.is_empty(), "{long:#?}");
}

fn a_trace_is_written() {
    let folder = Folder::new();
    let (file, trace) = (finding(&folder, "abba"), folder.join("trace.json"));
    let cause =
        jitterbug("explain --json").arg(&file).arg("--trace").arg(&trace).ends_with(0).json();
    let trace: Value = serde_json::from_str(&fs::read_to_string(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let phase = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    assert_eq!(phase("X"), cause["steps"].as_array().unwrap().len());
    assert!(phase("s") >= 2 && phase("s") == phase("f"), "{trace:#}");
}

fn bad_requests_are_refused() {
    let folder = Folder::new();
    let file = finding(&folder, "abba");
    jitterbug("explain --html /nonexistent/page.html")
        .arg(&file)
        .ends_with(2)
        .says(&["--html /nonexistent/page.html", "No such file"]);
    jitterbug("explain --guest hello").arg(&file).ends_with(2).says(&["not the image"]);
    // The error is reported before the work begins.
    let refused = |option: &str, problem: &str| {
        jitterbug(&format!("hunt abba --explain {option} /nonexistent/x --out"))
            .arg(&*folder)
            .ends_with(2)
            .says(&[&format!("{option} /nonexistent/x"), problem]);
        assert_eq!(fs::read_dir(&*folder).unwrap().count(), 1, "it has hunted");
    };
    refused("--html", "can't be written");
    refused("--trace", "can't be written");
    refused("--source", "no such folder");
    jitterbug("hunt abba --granularity instruction --explain")
        .ends_with(2)
        .says(&["--granularity watch"]);
    jitterbug("hunt abba --html page.html").ends_with(2).says(&["--html: that is for --explain"]);
    let text = fs::read_to_string(&file).unwrap();
    let shorter = text.replacen("schedule = \"0@", "schedule = \"0@1>0@", 1);
    fs::write(&file, shorter).unwrap();
    jitterbug("explain").arg(&file).ends_with(2);
}

fn what_is_no_finding_is_refused() {
    jitterbug("explain /nonexistent").ends_with(2).says(&["/nonexistent"]);
    let script = Path::new("../probes/scripts/one-good-probe.vp");
    jitterbug("explain").arg(script).ends_with(2).says(&["not a finding"]);
}

fn ctrl_c_ends_it() {
    let folder = Folder::new();
    let file = finding(&folder, "tsc-sync");
    let running = jitterbug("-v explain").arg(&file).start();
    running.reports("INFO run ");
    running.signal(Signal::SIGINT);
    running.ends_with(130).shows("").says(&["interrupted before anything could be shown"]);
}

/// A signal that ends a search also ends the explanation that follows it.
fn ctrl_c_leaves_out_what_follows_a_search() {
    let folder = Folder::new();
    let running = jitterbug("hunt lost-update --keep-going --explain --out").arg(&*folder).start();
    running.reports("failure code 1 in run ");
    running.signal(Signal::SIGINT);
    running.ends_with(1).shows("").says(&[
        "jitterbug: interrupted: ",
        "jitterbug: no explanation: ",
        "interrupted before anything could be shown",
    ]);
}

/// A hang by budget is explained as well, with fewer points than the budget allows.
fn a_hang_by_budget_is_looked_at() {
    let folder = Folder::new();
    let image = count_and_wait(Counter::Stack, i32::MAX as u32).file();
    let report = jitterbug("hunt --runs 1 --json").arg(&*image).arg("--out").arg(&*folder);
    let report = report.ends_with(1).json();
    let file = report["findings"][0]["file"].as_str().unwrap();
    let cause = jitterbug("explain --json").arg(file).ends_with(1).json();
    // The guest waits for ever in any order, so no order is the cause.
    assert_eq!((&cause["shown"], &cause["verdict"]), (&false.into(), &"hang, by budget".into()));
    assert_eq!(cause["schedule"]["switches"].as_array().map(Vec::len), Some(0), "{cause:#}");
}

/// The guest fails without a switch, so there is no switch to move; a switch with which it passes
/// is searched for.
fn what_fails_by_itself_is_turned_round() {
    let (folder, image) = (Folder::new(), start_and_look().file());
    let report = jitterbug("hunt --cpus 2 --runs 100 --explain --json").arg(&*image);
    let report = report.arg("--out").arg(&*folder).within(100).ends_with(1).json();
    let cause = &report["explanation"];
    assert_eq!(cause["shown"], true, "{cause:#}");
    assert_eq!(cause["schedule"]["switches"].as_array().map(Vec::len), Some(0), "{cause:#}");
    let summary = cause["summary"][0].as_str().unwrap();
    assert!(summary.starts_with("vCPU 0's read of `gpa 0x102000` in "), "{summary}");
    assert!(summary.contains("came before vCPU 1's store of 0x1 in "), "{summary}");
    let share = |of: &Value| of["failed"].as_u64().unwrap();
    let (reversed, chance) = (share(&cause["pairs"][0]["reversed"]), share(&cause["chance"]));
    assert!(reversed <= 1 && share(&cause["forced"]) >= 99 && chance < 100, "{cause:#}");
}

/// A run in real time shows where all vCPUs hang. A search under control that ends with the same
/// stacks shows how they got there, and both are on one page.
fn a_hang_of_run_is_found_again() {
    let (folder, page) = (Folder::new(), Folder::new());
    let page = page.join("page.html");
    let report =
        jitterbug("run tsc-sync --cpus 6 --jitter boot --until-failure --explain --json --out")
            .arg(&*folder)
            .arg("--html")
            .arg(&page)
            .within(300)
            .ends_with(1);
    assert!(report.stderr.contains("the same stacks under control: proven hang"), "{report}");
    let json = report.json();
    assert_eq!(json["hunt"], "jitterbug hunt tsc-sync --cpus 6 --explain");
    let hang = json["boots"].as_array().and_then(|runs| runs.last()).expect("a run");
    let seconds = |name: &str| hang["window"][name].as_f64().expect("seconds");
    let window = seconds("to_seconds") - seconds("from_seconds");
    // The window is as long as the watchdog's in processor time, and longer in real time on a busy
    // host.
    assert!(window > 3.0 - 1e-6, "{window} s");

    // The report has the cause, and the failure that was observed before the search for it.
    let cause = &json["explanation"];
    assert_eq!(cause["shown"], true, "{cause:#}");
    assert!(cause["summary"][0].as_str().unwrap().contains("platform_type"), "{cause:#}");
    let observed = &json["reproduction"]["observed"];
    assert_eq!(observed["window"], "3s", "{observed:#}");
    let command = observed["command"].as_str().unwrap();
    assert!(command.starts_with("jitterbug run tsc-sync --cpus 6 --jitter boot "), "{command}");
    let stacks = observed["vcpus"].to_string();
    for function in ["tsc_sync_master+", "mp_startup_signal+", "reads tsc_sync_go"] {
        assert!(stacks.contains(function), "{observed:#}");
    }
    assert_eq!(&cause["observed"], observed);
    let file = Path::new(json["reproduction"]["file"].as_str().unwrap());
    assert!(fs::read_to_string(file).unwrap().contains("[observed]"));
    jitterbug("replay").arg(file).ends_with(0).says(&["reproduced: proven hang"]);
    assert!(fs::read_to_string(page).unwrap().contains("The same in real time"));
}

/// A failure that isn't found under control is not linked to a finding, and the report says so.
fn what_run_saw_may_not_be_found() {
    let folder = Folder::new();
    let file = |report: &Value| report["reproduction"]["file"].as_str().map(str::to_owned);
    // The vCPUs share nothing, so no run under control comes to an end.
    let report = jitterbug("run spin --watchdog 1s --explain --json --out").arg(&*folder);
    let report = report.within(300).ends_with(1).says(&["not found: ", " cut short"]);
    let json = report.json();
    let (looked, seconds) = (&json["reproduction"], json["reproduction"]["seconds"].as_f64());
    assert_eq!(looked["cut_short"], looked["runs"], "{report}");
    // On a busy machine the time of 30 s is over first.
    let busy = seconds.unwrap() >= 30.0;
    let report = if busy { report } else { report.says(&["no run came to an end"]) };
    assert!(file(&json).is_none() && json["explanation"].is_null(), "{report}");
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 0, "a file");
    // The guest hangs in any order: the failure is found, and no order is its cause.
    let report =
        jitterbug("run hello --cpus 2 --cmdline cpus=3 --watchdog 1s --explain --json --out");
    let report = report.arg(&*folder).ends_with(1).says(&["the same stacks under control"]);
    let json = report.json();
    assert!(file(&json).is_some() && json["explanation"]["shown"] == false, "{report}");
    let summary = json["explanation"]["summary"][0].as_str().unwrap();
    assert!(summary.starts_with("No order of accesses decides it"), "{summary}");
    jitterbug("run hello --explain").ends_with(0).says(&["nothing to explain"]);
    jitterbug("run hello --out .").ends_with(2).says(&["--out: that is for --explain"]);
    jitterbug("run hello --html page.html").ends_with(2).says(&["--html: that is for --explain"]);
    // Without names or callers, hangs can't be distinguished.
    let image = count_and_wait(Counter::Stack, i32::MAX as u32);
    jitterbug("run --watchdog 500ms --explain").image(&image).ends_with(1).says(&["--symbols"]);
}
