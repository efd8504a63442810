//! The claim: `experiment` makes the runs of a file, records each once, however it is ended, goes
//! on where it was, and puts parts together to the same figures; a wrong file is refused with line,
//! column and caret.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::disks;
use crate::explain_page::browse;
use crate::harness::{Finished, Invocation, PROGRAM, jitterbug};
use crate::host_errors::{NOBODY, program_for_everybody};
use crate::image;
use crate::scratch::Folder;

tests! {
    Nothing: wrong_files_are_refused, other_folders_are_refused, special_files_are_refused;
    Kvm: all_cells_are_run, failures_are_kept_and_run_again, a_cell_stops_after_its_failures,
        jitter_that_injects_nothing_is_an_error, budgets_are_kept, nothing_is_lost_by_kill_9, ctrl_c_ends_in_order,
        another_image_is_refused, parts_are_the_whole, a_time_limit_is_told,
        machines_that_cannot_be_made_are_refused, a_guest_and_a_file_may_have_one_name,
        nothing_is_named_without_symbols, files_that_change_meanwhile_are_noticed,
        another_build_is_told, two_campaigns_are_compared, the_page_needs_nothing_else, faults_strike_and_are_counted, a_fault_that_never_strikes_is_an_error;
    KvmAndChromium: the_page_is_shown;
    OtherUser: a_folder_that_is_only_read_is_reported;
}

/// `experiment`, with words and paths.
fn experiment(words: &str) -> Invocation {
    jitterbug(&format!("experiment {words}"))
}

/// An experiment file in a folder, and the invocation that runs it; the campaign is in `out`.
fn begin(folder: &Folder, text: &str) -> Invocation {
    let file = folder.file("x.toml", text);
    experiment("run").arg(file).arg("--out").arg(folder.join("out"))
}

/// The report of a campaign; its status says whether there are failures.
fn report(campaign: &Path) -> Value {
    let (_, run) = experiment("report --json").arg(campaign).start().ends_with_any(&[0, 1]);
    run.json()
}

const HELLO: &str = "[machine]\nguest = \"hello\"\n[matrix]\ncpus = [1, 2]\n[runs]\nper_cell = 3\n";

fn wrong_files_are_refused() {
    let folder = Folder::new();
    let machine = "[runs]\nper_cell = 1\n[machine]\n";
    for (line, place, hint) in [
        ("gest = \"hello\"", "x.toml:4:1", "did you mean guest?"),
        ("guest = \"hello\"\ncpus = 65", "x.toml:5:8", "from 1 to 64"),
        ("guest = \"helo\"", "x.toml:4:9", "did you mean `hello`?"),
        ("guest = \"hello\"\nmemory = \"lots\"", "x.toml:5:10", "128M"),
        ("guest = \"spin\"", "x.toml:4:9", "give it a timeout"),
        ("guest = \"hello\"\n[matrix]\nguest = [\"spin\"]", "x.toml:4:9", "is a factor"),
        ("guest = \"hello\"\n[failure]\nwatchdog = \"1ms\"", "x.toml:6:12", "at least 100ms"),
    ] {
        let refused = begin(&folder, &format!("{machine}{line}\n")).ends_with(2).shows("");
        let refused = refused.says(&["the experiment is not run", place, hint]);
        assert!(refused.stderr.contains('|'), "{refused}");
        assert!(!folder.join("out").exists(), "{line}");
    }
    let missing = folder.join("missing.toml");
    experiment("run").arg(&missing).ends_with(2).says(&["missing.toml: can't be read"]);
    let at = format!("{machine}guest = \"hello\"\n[failure]\nfail_at = [\"no_such\"]\n");
    begin(&folder, &at).ends_with(2).says(&["--fail-at no_such"]);
}

fn other_folders_are_refused() {
    let folder = Folder::new();
    for command in ["report", "resume"] {
        experiment(command).arg(&*folder).ends_with(2).says(&["there is no campaign"]);
    }
    experiment("run x.toml --shard 3/2").ends_with(2).says(&["--shard", "1/8"]);
    experiment("merge --out").arg(folder.join("m")).ends_with(2).says(&["<DIR>"]);
    experiment("report --bed").arg(&*folder).ends_with(2).says(&["not with --bed"]);
}

/// Files that have no end, or whose bytes can't be read twice.
fn special_files_are_refused() {
    let folder = Folder::new();
    let fifo = folder.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
    for file in [fifo.to_str().expect("UTF-8"), "/dev/zero"] {
        for setting in [
            format!("guest = \"{file}\""),
            format!("guest = \"hello\"\nsymbols = \"{file}\""),
            format!("guest = \"hello\"\ninitrd = \"{file}\""),
            format!("guest = \"hello\"\ndisks = [\"{file},read-only\"]"),
        ] {
            let text = format!("[runs]\nper_cell = 1\n[machine]\n{setting}\n");
            begin(&folder, &text).ends_with(2).says(&[file, "it is not a regular file"]);
        }
    }
}

/// They are told before the first run, by the name of the cell.
fn machines_that_cannot_be_made_are_refused() {
    let folder = Folder::new();
    folder.file("noise.bin", vec![0xA5; 100_000]);
    folder.file("large.img", vec![0; 40 << 20]);
    folder.file("linux.elf", image::exit(0).bytes());
    for (settings, name) in [
        ("[matrix]\nguest = [\"hello\", \"noise.bin\"]", "guest noise.bin"),
        (
            "guest = \"linux.elf\"\ninitrd = \"large.img\"\n[matrix]\nmemory = [\"128M\", \"32M\"]",
            "memory 32M",
        ),
    ] {
        let text = format!("[runs]\nper_cell = 50\n[machine]\n{settings}\n");
        let refused = begin(&folder, &text).ends_with(2).shows("");
        refused.says(&["the experiment is not run", name]);
        assert!(!folder.join("out").exists(), "{name}");
    }
}

/// A guest of the catalogue, and a file beside the experiment file.
fn a_guest_and_a_file_may_have_one_name() {
    let folder = Folder::new();
    folder.file("hello", image::exit(0).bytes());
    let text = "[matrix]\nguest = [\"hello\", \"./hello\"]\n[runs]\nper_cell = 1\n";
    begin(&folder, text).ends_with(0);
    experiment("resume").arg(folder.join("out")).ends_with(0);
}

/// As with `run --symbols none`.
fn nothing_is_named_without_symbols() {
    let folder = Folder::new();
    let text = |symbols: &str| {
        format!(
            "[machine]\nguest = \"tsc-sync\"\n{symbols}\ncpus = 6\njitter = \"boot\"\n\
             [failure]\nwatchdog = \"500ms\"\n[runs]\nper_cell = 8\n\
             [budget]\nfailures_per_cell = 1\n"
        )
    };
    let kind = |symbols: &str, out: &str| {
        let file = folder.file("x.toml", text(symbols));
        let run = experiment("run --json").arg(file).arg("--out").arg(folder.join(out));
        let report = run.ends_with(1).json();
        let command = report["kinds"][0]["command"].as_str().expect("a command").to_owned();
        (report["kinds"][0]["kind"].as_str().expect("a kind").to_owned(), command)
    };
    let named = "mp_startup";
    assert!(kind("", "one").0.contains(named));
    let (nameless, command) = kind("symbols = \"none\"", "two");
    assert!(
        !nameless.contains(named) && command.contains("--symbols none"),
        "{nameless} {command}"
    );
}

fn all_cells_are_run() {
    let folder = Folder::new();
    let run = begin(&folder, HELLO).arg("--json").arg("--jobs=2").ends_with(0);
    let first = run.json();
    assert_eq!(
        (&first["asked"], &first["runs"], &first["failed"]),
        (&6.into(), &6.into(), &0.into())
    );
    for (number, cell) in first["cells"].as_array().expect("cells").iter().enumerate() {
        assert_eq!(cell["name"], format!("cpus {}", number + 1), "{run}");
        assert_eq!((&cell["runs"], &cell["rate"]), (&3.into(), &0.0.into()), "{run}");
        assert!(cell["below"].as_f64().is_some_and(|below| (0.63..0.64).contains(&below)), "{run}");
    }
    assert_eq!(first["factors"][0]["factor"], "cpus");
    let campaign = folder.join("out");
    assert_eq!(report(&campaign), first);
    let text = experiment("report").arg(&campaign).ends_with(0).stdout;
    assert!(
        text.contains("6 of 6 runs made, 0 failed") && text.contains("0 %, below 63.2 %"),
        "{text}"
    );
    // It is neither begun again nor worked on again.
    begin(&folder, HELLO).ends_with(2).says(&["a campaign already", "experiment resume"]);
    let again = experiment("resume --json").arg(&campaign).ends_with(0).json();
    assert_eq!((&again["runs"], &again["sessions"][1]), (&6.into(), &"complete".into()));
}

/// Another user's campaign. Its database is opened without the files that `SQLite` makes beside it.
fn a_folder_that_is_only_read_is_reported() {
    let folder = program_for_everybody();
    begin(&folder, HELLO).ends_with(0);
    let campaign = folder.join("out");
    let report = || {
        let mut program = Command::new(folder.join("jitterbug"));
        program.args(["experiment", "report", "--json"]).arg(&campaign).uid(NOBODY).gid(NOBODY);
        Invocation::new(program)
    };
    assert_eq!(report().ends_with(0).json()["runs"], 6);
    // A log that a process has left which was killed.
    fs::write(campaign.join("campaign.sqlite-wal"), [0; 99]).expect("a log");
    let says = ["campaign.sqlite-wal", "copy the folder"];
    report().ends_with(2).shows("").says(&says);
}

/// A file whose guest fails with code 3 in each run.
fn failing(folder: &Folder, rest: &str) -> String {
    folder.file("guest.elf", image::print_and_exit("a \"quoted\" word\n", 3).bytes());
    format!("about = \"it fails\"\n[machine]\nguest = \"guest.elf\"\n[runs]\nper_cell = 5\n{rest}")
}

fn failures_are_kept_and_run_again() {
    let folder = Folder::new();
    let text = failing(&folder, "first_seed = 40\n[keep]\nfailures = 2\n");
    let run = begin(&folder, &text).arg("--json").ends_with(1);
    let run = run.says(&["guest.elf: seed 40: ", "failure code 3"]);
    let report = run.json();
    assert_eq!((&report["runs"], &report["failed"]), (&5.into(), &5.into()), "{run}");
    let cell = &report["cells"][0];
    assert!(cell["median_failure_seconds"].as_f64().is_some_and(|time| time > 0.0), "{run}");
    assert_eq!((&cell["rate"], &cell["high"]), (&1.0.into(), &1.0.into()), "{run}");
    assert_eq!(report["kinds"][0]["failures"], 5, "{run}");
    let kept = report["kept"].as_array().expect("reports");
    assert_eq!(kept.len(), 2, "{run}");
    assert_eq!((&kept[0]["seed"], &kept[1]["seed"]), (&40.into(), &41.into()), "{run}");
    assert_eq!(kept[0]["report"]["console"], "a \"quoted\" word\n", "{run}");
    // The command makes such a run again, from any folder.
    let command = cell["command"].as_str().expect("a command");
    let arguments = command.strip_prefix("jitterbug ").expect("a command of this program");
    assert!(arguments.ends_with("--seed 40"), "{command}");
    jitterbug(arguments).ends_with(1).says(&["failure code 3"]);
}

fn a_cell_stops_after_its_failures() {
    let folder = Folder::new();
    let text = failing(&folder, "[budget]\nfailures_per_cell = 2\n");
    let run = begin(&folder, &text).ends_with(1);
    assert!(run.stdout.contains("3 of 5 runs were not made: it had failed often enough"), "{run}");
    assert!(!run.stderr.contains("to go on"), "{run}");
    let report = report(&folder.join("out"));
    let cell = &report["cells"][0];
    assert_eq!((&report["runs"], &cell["stopped"]), (&2.into(), &true.into()));
    // With failures alone, the lower bound is the square root of 2.5 %.
    assert_eq!((&cell["rate"], &cell["until_last"]), (&1.0.into(), &2.into()));
    assert!(run.stdout.contains("100 % (15.8 % to 100 %)"), "{run}");
}

/// As with `run`, jitter that injects nothing is an error, even among cells that have none.
fn jitter_that_injects_nothing_is_an_error() {
    let folder = Folder::new();
    let text = "[machine]\nguest = \"hello\"\ncpus = 1\n[matrix]\n\
                jitter = [\"off\", \"hold:at=mmio\"]\n[runs]\nper_cell = 2\n";
    let run = begin(&folder, text).ends_with(2).says(&["jitter injected nothing in 2 run(s)"]);
    assert!(run.stdout.contains("jitter injected nothing in its 2 runs"), "{run}");
    let says = ["jitter injected nothing in 2 run(s)"];
    experiment("report").arg(folder.join("out")).ends_with(2).says(&says);
}

/// Two runs of each cell, of a guest that writes to its disk and flushes.
fn with_faults(folder: &Folder, faults: &str) -> Invocation {
    folder.file("disk.img", disks::DISK);
    folder.file("guest.elf", disks::writer(true).bytes());
    let text = format!(
        "[machine]\nguest = \"guest.elf\"\ndisks = [\"disk.img,copy-on-write\"]\n\
         [matrix]\nfault = {faults}\n[runs]\nper_cell = 2\n"
    );
    begin(folder, &text).arg("--json")
}

fn faults_strike_and_are_counted() {
    let folder = Folder::new();
    let faults = r#"["none", "disk-error:op=write", ["disk-lost:op=flush", "disk-delay:for=1ms"]]"#;
    let run = with_faults(&folder, faults).ends_with(1);
    let report = run.json();
    let cells = report["cells"].as_array().expect("cells");
    let failed: Vec<_> = cells.iter().map(|cell| cell["failed"].as_u64()).collect();
    assert_eq!(failed, [Some(0), Some(2), Some(0)], "{run}");
    assert!(cells[0]["faults"].is_null(), "{run}");
    let error = &cells[1]["faults"][0];
    assert_eq!((&error["fault"], &error["struck"]), (&"disk-error:op=write".into(), &2.into()));
    assert_eq!((&error["runs"], &cells[2]["faults"][1]["struck"]), (&2.into(), &2.into()), "{run}");
    // The command makes it again.
    let command = cells[1]["command"].as_str().and_then(|it| it.strip_prefix("jitterbug "));
    let again = jitterbug(command.expect("a command")).ends_with(1);
    again.says(&["fault disk-error:op=write: struck 1 of 1"]);
    let text = experiment("report").arg(folder.join("out")).ends_with(1).stdout;
    let says = "fault disk-error:op=write struck 2 times in 2 of 2 runs, of 2 occasions";
    assert!(text.contains(says), "{text}");
}

/// As with `run`, unless there are failures.
fn a_fault_that_never_strikes_is_an_error() {
    let folder = Folder::new();
    let run = with_faults(&folder, r#"["none", "disk-delay:nth=9"]"#).ends_with(2);
    let says = "fault disk-delay:nth=9: fault disk-delay:nth=9 never struck in 2 run(s), of 4";
    run.says(&[says]);
    experiment("report").arg(folder.join("out")).ends_with(2).says(&[says]);
    let text = "[machine]\nguest = \"hello\"\nfault = \"disk-error\"\n[runs]\nper_cell = 2\n";
    let _ = fs::remove_dir_all(folder.join("out"));
    begin(&folder, text).ends_with(2).says(&["hello: --fault disk-error", "has no disk"]);
}

fn budgets_are_kept() {
    let folder = Folder::new();
    let text = format!("{HELLO}[budget]\nruns = 4\n");
    let run = begin(&folder, &text).ends_with(0);
    let run = run.says(&["the budget of runs is used up: 4 of 6 runs\n"]);
    assert!(run.stdout.contains("1 of 3 runs were not made: the budget was used up"), "{run}");
    // Both cells have as many runs.
    let report = report(&folder.join("out"));
    assert_eq!((&report["cells"][0]["runs"], &report["cells"][1]["runs"]), (&2.into(), &2.into()));
}

fn a_time_limit_is_told() {
    let folder = Folder::new();
    let text =
        "[machine]\nguest = \"spin\"\n[failure]\ntimeout = \"200ms\"\n[runs]\nper_cell = 2\n";
    let run = begin(&folder, text).arg("--jobs=2").ends_with(0);
    assert!(run.stdout.contains("2 of 2 runs reached the time limit"), "{run}");
}

fn runs(campaign: &Path) -> u64 {
    if !campaign.join("campaign.sqlite").exists() {
        return 0;
    }
    let (status, output) = experiment("report --json").arg(campaign).any_status_and_output();
    // Before its tables are there, the store has no report.
    let report: Option<Value> = (status < 2).then(|| serde_json::from_str(&output).expect("JSON"));
    report.map_or(0, |report| report["runs"].as_u64().expect("a number"))
}

fn any_time_up_to_30_ms() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    Duration::from_nanos(now.as_nanos() as u64 % 30_000_000)
}

fn nothing_is_lost_by_kill_9() {
    const RUNS: u64 = 120;
    let folder = Folder::new();
    let text = HELLO.replace("per_cell = 3", &format!("per_cell = {}", RUNS / 2));
    let campaign = folder.join("out");
    let mut recorded = 0;
    for kill in 0..6 {
        let work =
            if kill == 0 { begin(&folder, &text) } else { experiment("resume").arg(&campaign) };
        let running = work.arg("--jobs=2").start();
        running.does("runs", || runs(&campaign) > recorded);
        thread::sleep(any_time_up_to_30_ms());
        let seen = runs(&campaign);
        if seen == RUNS {
            break;
        }
        running.signal(Signal::SIGKILL);
        running.dies();
        recorded = runs(&campaign);
        assert!(recorded >= seen, "{recorded} of {seen}");
    }
    let complete = experiment("resume --json").arg(&campaign).ends_with(0).json();
    assert_eq!((&complete["runs"], &complete["asked"]), (&RUNS.into(), &RUNS.into()));
    for cell in complete["cells"].as_array().expect("cells") {
        assert_eq!(cell["runs"], RUNS / 2, "{complete:#}");
    }
}

fn ctrl_c_ends_in_order() {
    let folder = Folder::new();
    let text = "[machine]\nguest = \"spin\"\n[failure]\ntimeout = \"100s\"\n[runs]\nper_cell =";
    // With three workers for two runs, one of them finds no more runs before the signal comes.
    for (signal, status, runs, jobs) in
        [(Signal::SIGINT, 130, 9, "--jobs=2"), (Signal::SIGTERM, 143, 2, "--jobs=3")]
    {
        let _ = fs::remove_dir_all(folder.join("out"));
        let running = begin(&folder, &format!("{text} {runs}\n")).arg(jobs).start();
        // Before that, the program may not have taken over the signals yet.
        running.does("a store", || folder.join("out/campaign.sqlite").exists());
        running.works_for(Duration::from_millis(300));
        running.signal(signal);
        let run = running.ends_with(status);
        let run = run.says(&[&format!("interrupted: 0 of {runs} runs"), "experiment resume"]);
        assert!(run.stdout.contains(&format!("{runs} of {runs} runs were not made")), "{run}");
        // The runs that were interrupted are not recorded.
        let report = report(&folder.join("out"));
        assert_eq!((&report["runs"], &report["sessions"][0]), (&0.into(), &"interrupted".into()));
        // Their number is.
        assert_eq!(report["cells"][0]["cut_short"], 2);
        assert!(run.stdout.contains("2 runs were cut short by a signal"), "{run}");
        assert!(run.stdout.contains("the rates may be too low"), "{run}");
    }
}

fn another_image_is_refused() {
    let folder = Folder::new();
    let text = failing(&folder, "[budget]\nruns = 1\n");
    begin(&folder, &text).ends_with(1);
    let campaign = folder.join("out");
    let resume = || -> Finished { experiment("resume").arg(&campaign).ends_with(2).shows("") };
    folder.file("guest.elf", image::exit(0).bytes());
    resume().says(&["can't be resumed", "guest.elf has changed"]);
    failing(&folder, "");
    folder.file("x.toml", format!("{text}\n"));
    resume().says(&["can't be resumed", "x.toml has changed"]);
    fs::remove_file(folder.join("x.toml")).expect("the file");
    resume().says(&["x.toml: can't be read"]);
    folder.file("x.toml", text);
    experiment("resume").arg(&campaign).ends_with(1);
}

/// Only a disk is read while machines run; what the other files had is in memory.
fn files_that_change_meanwhile_are_noticed() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", [0; 512]);
    let guest = folder.file("guest.elf", image::exit(0).bytes());
    let campaign = folder.join("out");
    // With 100 ms for each run of `spin`, these are more runs than any host makes meanwhile.
    let begin = |rest: &str| {
        let _ = fs::remove_dir_all(&campaign);
        let text = format!("[failure]\ntimeout = \"100ms\"\n{rest}\n[runs]\nper_cell = ");
        let running = begin(&folder, &(text + "100000\n")).start();
        running.does("a run", || runs(&campaign) > 0);
        running
    };
    let running = begin("[machine]\nguest = \"spin\"\ndisks = [\"disk.img,copy-on-write\"]");
    fs::write(&disk, [1; 512]).expect("the disk");
    let says = ["disk.img: this disk was changed", "spin: seed ", "experiment resume"];
    running.ends_with(2).says(&says);
    // The runs that are recorded are of the disk as it was.
    let resume = || experiment("resume --json").arg(&campaign);
    resume().ends_with(2).says(&["can't be resumed", "disk.img has changed"]);
    fs::write(&disk, [0; 512]).expect("the disk");
    let (before, running) = (runs(&campaign), resume().start());
    running.does("a run", || runs(&campaign) > before);
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130);
    assert!(!run.stderr.contains("was changed"), "{run}");

    let phase =
        |guest: &str| format!("[[phase]]\nname = \"{guest}\"\nmachine.guest = \"{guest}\"\n");
    let running = begin(&(phase("guest.elf") + &phase("spin")));
    fs::write(&guest, image::exit(1).bytes()).expect("the guest");
    // The new guest would fail.
    let before = runs(&campaign);
    running.does("two runs", || runs(&campaign) > before + 2);
    running.signal(Signal::SIGINT);
    running.ends_with(130).says(&["guest.elf: it was changed while the campaign ran"]);
}

/// A program with other bytes does the same, and is another build.
fn another_build_is_told() {
    let folder = Folder::new();
    let run = begin(&folder, HELLO).arg("--shard=1/2").ends_with(0);
    assert!(!run.stderr.contains("build") && !run.stdout.contains("build"), "{run}");
    let merged = folder.join("merged");
    experiment("merge").arg(folder.join("out")).arg("--out").arg(&merged).ends_with(0);
    let mut program = fs::read(PROGRAM).expect("the program");
    program.push(0);
    let other = folder.file("jitterbug", program);
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("its permissions");
    let mut resume = Command::new(&other);
    resume.args(["experiment", "resume"]).arg(&merged);
    let run = Invocation::new(resume).ends_with(0);
    let run = run.says(&["this is another build of jitterbug", "made 4 of its runs"]);
    assert!(run.stdout.contains("Several builds of jitterbug"), "{run}");
    let report = report(&merged);
    let mut builds = report["builds"].as_object().expect("builds").values();
    let mut builds = [builds.next(), builds.next()].map(|runs| runs.and_then(Value::as_u64));
    builds.sort_unstable();
    assert_eq!(builds, [Some(2), Some(4)]);
}

fn two_campaigns_are_compared() {
    let folder = Folder::new();
    folder.file("passes.elf", image::exit(0).bytes());
    folder.file("fails.elf", image::exit(3).bytes());
    // In `one`, the guest fails in one of the campaigns; `two` passes in both.
    let campaign = |name: &str, guest: &str, status: i32| {
        let phase =
            |name, guest| format!("[[phase]]\nname = \"{name}\"\nmachine.guest = \"{guest}\"\n");
        let cells = phase("one", guest) + &phase("two", "passes.elf");
        let file = folder.file("x.toml", format!("{cells}[runs]\nper_cell = 10\n"));
        let out = folder.join(name);
        experiment("run").arg(file).arg("--out").arg(&out).ends_with(status);
        out
    };
    let (before, after) = (campaign("a", "fails.elf", 1), campaign("b", "passes.elf", 0));
    let compare = |words: &str, one: &Path, two: &Path| {
        experiment(&format!("compare {words}")).arg(one).arg(two)
    };
    let text = compare("", &before, &after).ends_with(1).stdout;
    let says =
        "one  10 of 10  0 of 10  -100.0 (-100.0 to -60.7)        < 0.0001  B fails less often";
    assert!(text.contains(says), "{text}");
    assert!(text.contains("The rates of 1 of 2 cells differ (Fisher's exact test"), "{text}");
    let same = compare("", &after, &after).ends_with(0).stdout;
    assert!(same.contains("No difference can be told"), "{same}");
    let whole = compare("--whole --json", &before, &after).ends_with(1).json();
    assert_eq!(whole["rows"][0]["rates"][0]["runs"], 20);
    assert_eq!(whole["rows"][0]["difference"]["difference"], -0.5);
    let other = folder.file("y.toml", HELLO);
    experiment("run").arg(other).arg("--out").arg(folder.join("c")).ends_with(0);
    let nothing = compare("", &before, &folder.join("c")).ends_with(4).says(&["--whole"]);
    assert!(nothing.stdout.contains("Only A has: one; two"), "{nothing}");
}

/// The page of a campaign with two factors, in which the name of a phase is an element.
fn page(folder: &Folder) -> PathBuf {
    let file = folder.file("guest.elf", image::print_and_exit("x", 3).bytes());
    let file = file.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let text = format!(
        "about = \"A <b>bold</b> & dangerous\\nsecond line\"\n[matrix]\ncpus = [1, 2]\n\
         command_line = [\"\", \"</svg><script>alert(1)</script>\"]\n\
         [[phase]]\nname = \"<i>fails\"\nmachine.guest = \"{file}\"\n\
         [[phase]]\nname = \"passes\"\nmachine.guest = \"hello\"\n[runs]\nper_cell = 6\n"
    );
    begin(folder, &text).ends_with(1);
    let page = folder.join("page.html");
    experiment("report --html").arg(&page).arg(folder.join("out")).ends_with(1);
    page
}

fn the_page_needs_nothing_else() {
    let folder = Folder::new();
    let text = fs::read_to_string(page(&folder)).expect("the page");
    for outside in ["<link", "src=", "@import", "url(", "https://", "<script", "<b>bold", "<i>"] {
        assert!(!text.contains(outside), "{outside} in the page");
    }
    assert!(text.contains("A &lt;b&gt;bold&lt;/b&gt; &amp; dangerous"), "no title");
    // The campaign's own files are not replaced.
    for name in ["campaign.sqlite", "lock"] {
        let file = folder.join("out").join(name);
        let run = experiment("report --html").arg(&file).arg(folder.join("out")).ends_with(2);
        run.says(&["this is a file of the campaign"]);
    }
    assert_eq!(report(&folder.join("out"))["runs"], 48);
}

/// In a real browser. The screenshots remain in the target folder.
fn the_page_is_shown() {
    let folder = Folder::new();
    let page = page(&folder);
    let dom = browse(&page, &["--dump-dom"]);
    let count = |what: &str| dom.matches(what).count();
    // Three factors with two values each, and eight cells.
    assert_eq!((count("class=\"dot\""), count("class=\"interval\"")), (14, 3 * 14));
    // A curve and its key for each value of the factor that decides; a square for each pair.
    assert_eq!((count("<path class=\"curve"), count("class=\"hot\"")), (2, 4));
    assert!(dom.contains("phase &lt;i&gt;fails") && dom.contains("24 of 24 runs failed"), "{dom}");
    let probe = "<script>document.title = document.documentElement.scrollWidth <= innerWidth \
                 ? 'fits' : 'too wide'</script></body>";
    let text = fs::read_to_string(&page).expect("the page");
    let probed = folder.file("probed.html", text.replacen("</body>", probe, 1));
    for width in [1280, 500] {
        let dom = browse(&probed, &[&format!("--window-size={width},800"), "--dump-dom"]);
        assert!(dom.contains("<title>fits</title>"), "too wide for {width}");
        let name = format!("experiment-{width}.png");
        let shot = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_file(&shot);
        let to = format!("--screenshot={}", shot.display());
        browse(&page, &[&format!("--window-size={width},2200"), &to]);
        assert!(fs::metadata(&shot).expect("a screenshot").len() > 30_000, "{}", shot.display());
    }
}

/// Everything but what depends on time.
fn figures(mut report: Value) -> Value {
    for cell in report["cells"].as_array_mut().expect("cells") {
        cell["median_failure_seconds"] = Value::Null;
    }
    ["cells", "kinds", "factors", "runs", "failed", "asked"]
        .map(|part| report[part].take())
        .into_iter()
        .collect()
}

fn parts_are_the_whole() {
    let folder = Folder::new();
    let text = failing(&folder, "[[phase]]\nname = \"fails\"\n[[phase]]\nname = \"passes\"\n");
    let text = format!("{text}machine = {{ guest = \"hello\" }}\n");
    let whole = begin(&folder, &text).arg("--json").ends_with(1).json();
    let file = folder.join("x.toml");
    let part = |number: u32| {
        let out = folder.join(format!("part{number}"));
        let words = format!("run --shard {number}/2 --jobs 2");
        experiment(&words).arg(&file).arg("--out").arg(&out).ends_with(1);
        out
    };
    let (one, two) = (part(1), part(2));
    let one_report = report(&one);
    assert_eq!((&one_report["shard"], &one_report["asked"]), (&"1/2".into(), &6.into()));
    let merge = |parts: [&Path; 2], out: &str| {
        let [first, second] = parts;
        experiment("merge --json").arg(first).arg(second).arg("--out").arg(folder.join(out))
    };
    let merged = merge([&one, &two], "merged").ends_with(1).json();
    assert_eq!(figures(merged), figures(whole));
    merge([&one, &one], "twice").ends_with(2).says(&["seed 1 of `fails`", "another"]);
    merge([&one, &two], "merged").ends_with(2).says(&["a campaign already"]);
    // What a part lacks, the merged campaign makes.
    let alone = experiment("merge --json").arg(&one).arg("--out").arg(folder.join("alone"));
    assert_eq!(alone.ends_with(1).json()["runs"], 6);
    let rest = experiment("resume --json").arg(folder.join("alone")).ends_with(1).json();
    assert_eq!(rest["runs"], 10);
}
