//! The claim: with `--destructive`, scripts delay vCPUs, send NMIs, set registers, write memory,
//! dump, suspend and end the run, and each use is reported. Without it such scripts are refused.
//! They are also refused in a replay, which would become another run.

use nix::sys::signal::Signal;

use crate::harness::jitterbug;
use crate::image;
use crate::replay_scripts::{find, replay};
use crate::scratch::Folder;

tests! {
    Kvm: without_the_option_each_is_refused, the_option_is_for_scripts, delays_are_counted,
        a_share_of_each_second_is_the_most, what_changed_nothing_is_said_so, memory_is_written,
        the_guest_is_led_elsewhere, an_nmi_arrives, a_script_is_an_oracle,
        a_suspended_run_goes_on_by_a_signal, a_suspended_run_can_be_ended,
        the_report_has_what_was_done, a_replay_is_dumped_and_not_changed;
    KvmAndGdb: gdb_reads_a_dump;
}

const EACH: [&str; 8] = [
    "delayus(1, 2)",
    "injectnmi()",
    "setreg(REG_RAX, 1)",
    "poke(0x1000, 1)",
    "pokephys(0x1000, 1, 8)",
    "stopvm()",
    "suspendvm()",
    "dump(\"core\")",
];

fn without_the_option_each_is_refused() {
    for call in EACH {
        let name = call.split('(').next().expect("a name");
        jitterbug("run hello")
            .probe(&format!("VMM1Hz {{ {call}; }}"))
            .ends_with(2)
            .shows("")
            .says(&[name, "needs --destructive"]);
    }
}

fn the_option_is_for_scripts() {
    jitterbug("run hello --destructive").ends_with(2).says(&["--destructive: there is no script"]);
}

fn delays_are_counted() {
    let delayed = |seed: u32| {
        let run = jitterbug(&format!("run hello --destructive --seed {seed} --json"))
            .probe("Out /VCPUID == 0 && n < 10/ { n++; delayus(1000, 9000); }")
            .ends_with(0);
        let changes = run.json()["boots"][0]["changes"].clone();
        assert_eq!(changes["delays"], 10, "{run}");
        run.says(&["jitterbug: by scripts: delayus 10 ("]);
        changes["delay_microseconds"].as_u64().expect("a time")
    };
    let first = delayed(1);
    assert!((10_000..=90_000).contains(&first), "{first}");
    assert_eq!(first, delayed(1), "drawn from the seed");
    assert_ne!(first, delayed(2));
}

/// The second begins again if the host doesn't run the guest for a long time, so the script asks
/// for enough delays.
fn a_share_of_each_second_is_the_most() {
    let run = jitterbug("run hello --destructive --json")
        .probe("Out /VCPUID == 0 && n < 20/ { n++; delayus(200000); }")
        .ends_with(0)
        .says(&["delayus ", " over 500 ms a second: ", " ms not done)"]);
    let report = &run.json()["boots"][0];
    let done = report["changes"]["delay_microseconds"].as_f64().expect("a time") / 1e6;
    assert!((0.5..20.0 * 0.2).contains(&done), "{run}");
    assert!(report["seconds"].as_f64().expect("seconds") >= done, "{run}");
}

fn what_changed_nothing_is_said_so() {
    jitterbug("run hello --destructive")
        .probe("Out /ARG0 == 0x1/ { delayus(5); }")
        .ends_with(0)
        .says(&["--destructive: the scripts have changed nothing"]);
}

/// The variable is the guest's own counter, which the guest doesn't read.
fn memory_is_written() {
    jitterbug("run hello --cpus 1 --destructive")
        .probe(
            r#"VMMUnload { printf("up %#x, phys %#x\n", getguest(&up), getguestphys(0x1000)); }
               Out /!n/ { n = 1; poke(&up, 0x12345, 4); pokephys(0x1000, 0x6789); }"#,
        )
        .ends_with(0)
        .says(&["up 0x12345, phys 0x6789", "jitterbug: by scripts: poke 2"]);
}

/// `spin` never ends by itself. Before its first line is printed, it may be anywhere.
fn the_guest_is_led_elsewhere() {
    for (code, status) in [(0, 0), (7, 1)] {
        jitterbug("run spin --cpus 1 --destructive")
            .probe(&format!(
                "{UP} VMM10Hz /up/ {{ setreg(REG_RDI, {code}); setreg(REG_RIP, &exit); unload(); }}"
            ))
            .ends_with(status)
            .says(&["the guest ended the run", "jitterbug: by scripts: setreg 2"]);
    }
}

/// The end of the guest's first line, which it prints when all vCPUs are up.
const UP: &str = "Out /ARG3 == 10/ { up = 1; }";

/// Guests of the catalogue treat an NMI as a failure.
fn an_nmi_arrives() {
    for target in ["", "1"] {
        let run = jitterbug("run spin --cpus 2 --destructive")
            .probe(&format!("{UP} VMM10Hz /up/ {{ injectnmi({target}); unload(); }}"))
            .ends_with(1)
            .says(&["jitterbug: by scripts: injectnmi 1"]);
        let on = if target.is_empty() { "0" } else { target };
        let told = format!("cpu {on}\n");
        assert!(run.stdout.contains("vector 2,") && run.stdout.contains(&told), "{run}");
    }
}

/// The tick comes wherever the guest is, perhaps while it prints a line.
fn a_script_is_an_oracle() {
    let script = |options: &str, code: &str| {
        jitterbug(&format!("run spin --cpus 2 --destructive {options}"))
            .probe(&format!("VMM10Hz /VCPUID == 1/ {{ {code}; }}"))
    };
    script("", "stopvm()")
        .ends_with(0)
        .says(&["vCPU 1: a script stopped the run (", "jitterbug: by scripts: stopvm 1"]);
    script("--until-failure", "stopvm(5)")
        .ends_with(1)
        .says(&["a script stopped the run with failure code 5", "1 of 1 runs failed"]);
}

/// Ticks continue while the guest is suspended, for longer than the watchdog's window.
fn a_suspended_run_goes_on_by_a_signal() {
    let running = jitterbug("run --watchdog 1s --destructive")
        .image(&image::heartbeat())
        .probe(
            r#"Out { beats++; }
               VMM10Hz /!asked/ { asked = 1; at = beats; suspendvm(); }
               VMM10Hz /asked && beats == at/ { if (++still == 16) printf("it stood still\n"); }
               VMM10Hz /asked && beats != at/ { printf("it beats\n"); stopvm(still < 16); }"#,
        )
        .start();
    running.reports("suspended by VMM10Hz on vCPU 0: kill -CONT ");
    running.reports("it stood still\n");
    running.signal(Signal::SIGCONT);
    running.ends_with(0).says(&["it beats\n", "jitterbug: by scripts: stopvm 1, suspendvm 1"]);
}

fn a_suspended_run_can_be_ended() {
    let running =
        jitterbug("run spin --cpus 2 --destructive").probe("VMM10Hz { suspendvm(); }").start();
    running.reports("lets the guest go on");
    running.signal(Signal::SIGINT);
    running.ends_with(130).says(&["interrupted", "suspendvm"]);
}

fn the_report_has_what_was_done() {
    let folder = Folder::new();
    let path = folder.join("x");
    let run = jitterbug("run hello --cpus 2 --destructive --json --repeat 2")
        .probe(&format!(
            r#"Out /VCPUID == 0 && !n/ {{ n = 1; dump("{}"); setreg(REG_R15, 1); }}"#,
            path.display()
        ))
        .ends_with(0);
    let runs = run.json()["boots"].clone();
    for (number, name) in [(0, "x"), (1, "x.1")] {
        let run = &runs[number];
        assert_eq!(run["dumps"][0], folder.join(name).to_str().expect("a name"), "{run}");
        assert_eq!(
            (&run["changes"]["dumps"], &run["changes"]["registers"]),
            (&1.into(), &1.into())
        );
    }
    run.says(&["jitterbug: by scripts in 2 runs: setreg 2, dump 2", "dumped to "]);
    jitterbug("run hello --destructive")
        .probe(r#"Out { dump("/no/such/folder/x"); }"#)
        .ends_with(2)
        .says(&["/no/such/folder/x", "No such file"]);
}

fn a_replay_is_dumped_and_not_changed() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    for call in EACH.iter().filter(|call| !call.starts_with("dump")) {
        replay(&finding, "--destructive")
            .probe(&format!("Out {{ {call}; }}"))
            .ends_with(2)
            .says(&["a recorded run that a script changes is another run"]);
    }
    replay(&finding, "").probe("Out { dump(\"x\"); }").ends_with(2).says(&["needs --destructive"]);
    let path = folder.join("core");
    replay(&finding, "--destructive --repeat 2")
        .probe(&format!(r#"Out /!n/ {{ n = 1; dump("{}"); }}"#, path.display()))
        .ends_with(0)
        .says(&["reproduced 2 times", "core.1\n", "jitterbug: by scripts in 2 runs: dump "]);
    let magic = |path| std::fs::read(path).expect("a file")[..4].to_vec();
    assert_eq!(magic(path), b"\x7fELF");
    assert_eq!(magic(folder.join("core.1")), b"\x7fELF");
}

/// Checks both vCPUs' stacks with names, and a variable of the guest. When each vCPU is where it
/// spins, the second one tells the first by a byte that the guest doesn't use.
fn gdb_reads_a_dump() {
    const SPINS: &str = "RIP >= &spin_inner && RIP < &spin_inner + 32";
    let folder = Folder::new();
    let (core, image) = (folder.join("core"), folder.join("spin.elf"));
    std::fs::write(&image, guests::find("spin").expect("a guest").image).expect("a file");
    jitterbug("run spin --cpus 2 --destructive")
        .probe(&format!(
            r#"VMM10Hz /VCPUID == 1 && {SPINS}/ {{ pokephys(0x1000, 1, 1); }}
               VMM10Hz /VCPUID == 0 && {SPINS} && getguestphys(0x1000) & 1/ {{ dump("{}"); stopvm(); }}"#,
            core.display()
        ))
        .ends_with(0)
        .says(&["dumped to "]);
    let gdb = std::process::Command::new("gdb")
        .args(["-nx", "-batch", "-ex", "thread apply all backtrace", "-ex", "info registers rip"])
        .args([image, core])
        .output()
        .expect("gdb");
    let text = String::from_utf8_lossy(&gdb.stdout);
    assert!(text.contains("main ()") && text.contains("ap_main ()"), "{text}");
    assert!(text.contains("spin_outer ()") && text.contains("LWP 2"), "{text}");
}
