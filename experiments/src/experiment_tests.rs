use super::*;

/// The error of a text, rendered.
fn error(text: &str) -> String {
    match Experiment::read("x.toml", text) {
        Ok(experiment) => panic!("not refused: {experiment:#?}"),
        Err(refused) => refused.to_string(),
    }
}

const WHOLE: &str = r#"
about = "an example"
[machine]
guest = "hello"
command_line = "a b"
[matrix]
cpus = [1, 2, 3]
jitter = ["off", "boot"]
[[phase]]
name = "first"
[[phase]]
name = "second"
runs = 7
machine = { guest = "other", memory = "64M", disks = ["d.img,read-only"] }
[failure]
ok = ["login:"]
watchdog = "500ms"
timeout = "10s"
[runs]
per_cell = 5
first_seed = 100
[budget]
time = "4m"
failures_per_cell = 3
"#;

#[test]
fn a_file_makes_cells() {
    let experiment = Experiment::read("x.toml", WHOLE).unwrap();
    let names: Vec<String> = experiment.cells.iter().map(Cell::name).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(names[0], "first, cpus 1, jitter off");
    assert_eq!(names[1], "first, cpus 1, jitter boot");
    assert_eq!(names[11], "second, cpus 3, jitter boot");
    let (first, last) = (&experiment.cells[0], &experiment.cells[11]);
    assert_eq!((first.runs, last.runs), (5, 7));
    assert_eq!((&*first.settings.guest, &*last.settings.guest), ("hello", "other"));
    assert_eq!(last.settings.cpus.map(vmm::CpuCount::get), Some(3));
    assert_eq!(last.settings.memory.to_string(), "64M");
    assert_eq!(last.settings.command_line, "a b");
    assert_eq!(last.settings.disks.len(), 1);
    assert!(first.settings.disks.is_empty() && first.settings.jitter.is_off());
    assert_eq!(experiment.watchdog, Some(Watchdog::After(Duration::from_millis(500))));
    assert_eq!(experiment.budget.failures_per_cell, Some(3));
    assert_eq!((experiment.first_seed, experiment.keep), (100, 3));
}

#[test]
fn errors_have_line_column_and_caret() {
    let with = |line: &str| format!("[machine]\nguest = \"hello\"\n{line}\n[runs]\nper_cell = 1\n");
    for (line, place, hints) in [
        ("cpu = 2", "x.toml:3:1", &["unknown field `cpu`", "did you mean cpus?"][..]),
        ("cpus = 65", "x.toml:3:8", &["from 1 to 64"]),
        ("cpus = \"two\"", "x.toml:3:8", &["invalid type"]),
        ("memory = \"1T\"", "x.toml:3:10", &["1T", "128M"][..1]),
        ("identity = \"xen\"", "x.toml:3:12", &["vmware, kvm or none"]),
        ("jitter = \"hold:p=2\"", "x.toml:3:10", &["p"]),
        ("fault = \"disk-eror\"", "x.toml:3:9", &["`disk-eror` is no fault", "disk-error"]),
        ("fault = [\"nmi\", \"none\"]", "x.toml:3:9", &["`none` is no fault"]),
        ("fault = 3", "x.toml:3:9", &["a fault, a list of faults, or `none`"]),
        ("fault = \"nmi\"\n[matrix]\nfault = [\"none\"]", "x.toml:3:9", &["is a factor"]),
        ("[matrix]\nfault = [\"none\", []]", "x.toml:4:18", &["the value none twice"]),
        ("disks = [\"a,read-only\", \"b\"]", "x.toml:3:25", &["copy-on-write"]),
        ("cpus = 2\n[matrix]\ncpus = [1]", "x.toml:3:8", &["is a factor", "the factor"]),
        ("[matrix]\ncpus = []", "x.toml:4:8", &["no values"]),
        ("[matrix]\ncpus = [1, 2, 1]", "x.toml:4:15", &["twice"]),
        ("[matrix]\nguest = [\"a\"]", "x.toml:2:9", &["guest is a factor"]),
        ("[failure]\nwatchdog = \"1ms\"", "x.toml:4:12", &["at least 100ms"]),
        ("[failure]\ntimeout = \"soon\"", "x.toml:4:11", &["not a time"]),
        ("[budget]\nruns = 0", "x.toml:4:8", &["from 1 on"]),
        ("[[phase]]\nname = \"a\"\n[[phase]]\nname = \"a\"", "x.toml:6:8", &["two phases"]),
        ("[[phase]]\nname = \"a\"\nmachine = { cpux = 1 }", "x.toml:5:13", &["cpux", "cpus?"]),
        ("cpus = = 3", "x.toml:3:8", &[]),
    ] {
        let error = error(&with(line));
        assert!(error.contains(place), "{line}: {place}\n{error}");
        assert!(error.contains('^') || error.contains('|'), "{line}\n{error}");
        for hint in hints {
            assert!(error.contains(hint), "{line}: {hint}\n{error}");
        }
    }
}

#[test]
fn faults_are_a_setting_or_a_factor() {
    let cells = |text: &str| {
        let text = format!("{text}\n[runs]\nper_cell = 1\n");
        let experiment = Experiment::read("x.toml", &text).unwrap();
        let faults = |cell: &Cell| cell.settings.faults.iter().map(ToString::to_string).collect();
        experiment.cells.iter().map(|cell| (cell.name(), faults(cell))).collect::<Vec<_>>()
    };
    let cell = |name: &str, faults: &[&str]| -> (String, Vec<String>) {
        (name.into(), faults.iter().map(ToString::to_string).collect())
    };
    let guest = "[machine]\nguest = \"a\"\n";
    assert_eq!(cells(guest), [cell("a", &[])]);
    let one = format!("{guest}fault = \"nmi:vcpu=1\"");
    assert_eq!(cells(&one), [cell("a", &["nmi:vcpu=1"])]);
    let matrix =
        format!("{guest}[matrix]\nfault = [\"none\", \"nmi\", [\"disk-error:nth=3\", \"nmi\"]]");
    let expected = [
        cell("fault none", &[]),
        cell("fault nmi", &["nmi"]),
        cell("fault disk-error:nth=3 and nmi", &["disk-error:nth=3", "nmi"]),
    ];
    assert_eq!(cells(&matrix), expected);
}

#[test]
fn what_is_missing_is_told() {
    assert!(error("[machine]\nguest = \"hello\"\n").contains("per_cell"));
    assert!(error("[runs]\nper_cell = 3\n").contains("no guest"));
    let text = "[[phase]]\nname = \"a\"\nmachine = { cpus = 1 }\n[runs]\nper_cell = 3\n";
    let refused = error(text);
    assert!(refused.contains("x.toml:2:8") && refused.contains("no guest"), "{refused}");
}

#[test]
fn seeds_have_an_end() {
    let text =
        format!("[machine]\nguest = \"a\"\n[runs]\nper_cell = 9\nfirst_seed = {}\n", i64::MAX - 3);
    assert!(error(&text).contains("seeds end at 9223372036854775807"));
}

#[test]
fn too_many_cells_are_refused() {
    let many = |count: u32| (1..=count).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",");
    let text = format!(
        "[matrix]\nguest = [{}]\ncommand_line = [{}]\n[runs]\nper_cell = 1\n",
        many(200),
        many(200)
    );
    let refused = error(&text);
    assert!(refused.contains("x.toml:2:9"), "{refused}");
    assert!(refused.contains("40000 cells: at most 10000") && refused.contains("guest has 200"));
    // The factor with the most values is shown, or else the phases.
    let phases: Vec<_> = (0..300).map(|n| format!("[[phase]]\nname = \"{n}\"\n")).collect();
    let phases = phases.concat();
    let text = |values| format!("[matrix]\nguest = [{}]\n[runs]\nper_cell = 1\n", many(values));
    let refused = error(&(text(400) + &phases));
    assert!(refused.contains("x.toml:2:9") && refused.contains("guest has 400"), "{refused}");
    let refused = error(&(text(200) + &phases));
    assert!(refused.contains("x.toml:604:8") && refused.contains("300 phases"), "{refused}");
}

#[test]
fn too_many_runs_are_refused() {
    let text = |rest: &str| format!("[machine]\nguest = \"a\"\n{rest}");
    let many = text("[matrix]\ncpus = [1, 2]\n[runs]\nper_cell = 9223372036854775807\n");
    let refused = error(&many);
    assert!(refused.contains("x.toml:6:12") && refused.contains("1000000000000 runs"), "{refused}");
    let phase = |name: &str| format!("[[phase]]\nname = \"{name}\"\nruns = 600000000000\n");
    let refused = error(&text(&format!("{}{}", phase("a"), phase("b"))));
    assert!(refused.contains("x.toml:8:8"), "{refused}");
    Experiment::read("x.toml", &text(&phase("a"))).unwrap();
}

/// The files that come with jitterbug.
#[test]
fn ready_files_are_sound() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("files");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let experiment = Experiment::read(&path.display().to_string(), &text);
        let experiment = experiment.unwrap_or_else(|refused| panic!("{refused}"));
        assert!(!experiment.about.is_empty(), "{}", path.display());
        let guests = experiment.cells.iter().map(|cell| &cell.settings.guest);
        guests.for_each(|guest| assert!(guests::find(guest).is_some(), "{guest}"));
        found += 1;
    }
    assert!(found >= 5, "{found}");
}
