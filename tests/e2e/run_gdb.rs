//! The claim: gdb stops a machine that runs in real time, shows it as it is, steps it and lets it
//! go on, and the run ends as what it is.

use std::thread;
use std::time::Duration;

use crate::ctl::{answer, ctl};
use crate::gdb::gdb;
use crate::gdb_client::{Client, hex, thread};
use crate::harness::{Invocation, Running, jitterbug};
use crate::needs::Needs;
use crate::scratch::Folder;

tests! {
    Kvm: a_client_that_goes_lets_the_machine_run, kill_and_quit_end_the_run, ctrl_c_stops_a_spinner,
        what_it_goes_with, who_keeps_it_still, a_script_keeps_it_still, each_vcpu_s_stop_is_told, a_trapped_page_is_not_watched;
    KvmWithBreakpoints: more_than_four_breakpoints;
    KvmWithWatchpoints: a_store_stops_the_machine;
    KvmAndGdb: each_vcpu_comes_to_a_breakpoint, registers_and_memory_are_changed,
        a_watchpoint_or_its_refusal;
}

/// Starts a run that waits for gdb.
pub(crate) fn start(folder: &Folder, run: Invocation) -> Running {
    let running = run.arg("--gdb").arg(folder.join("socket")).start();
    running.reports("waiting for gdb before the first instruction");
    running
}

fn tsc_sync(folder: &Folder, options: &str) -> Running {
    folder.file("guest.elf", guests::find("tsc-sync-fixed").expect("a guest").image);
    start(folder, jitterbug(&format!("run tsc-sync-fixed --cpus 2 {options}")).within(240))
}

/// What gdb prints for these commands.
fn session(folder: &Folder, commands: &[&str]) -> String {
    let connect = format!("target remote {}", folder.join("socket").display());
    let first = ["set pagination off", "set confirm off", "set width 0", &connect];
    gdb(&folder.join("guest.elf"), first.iter().chain(commands))
}

fn each_vcpu_comes_to_a_breakpoint() {
    let folder = Folder::new();
    // The time in gdb does not count for the limits.
    let run = tsc_sync(&folder, "--timeout 100s --watchdog 20s");
    let text = session(
        &folder,
        &[
            "info threads",
            "break get_hwenv",
            "continue",
            "backtrace",
            "monitor stacks",
            "monitor status",
            "monitor pause",
            "delete",
            "stepi",
            "info registers rip cr3",
            "continue",
        ],
    );
    assert!(text.contains("vCPU 1: not started"), "{text}");
    assert!(text.contains("hit Breakpoint 1") && text.contains("get_hwenv ()"), "{text}");
    assert!(text.contains("get_hwenv+0x0"), "its own stack: {text}");
    assert!(text.contains("stopped for gdb") && text.contains("`continue`"), "{text}");
    assert!(text.contains("cr3 ") && text.contains("exited normally"), "{text}");
    run.ends_with(0);
}

fn registers_and_memory_are_changed() {
    let folder = Folder::new();
    let run = tsc_sync(&folder, "");
    let text = session(
        &folder,
        &[
            "break get_hwenv",
            "continue",
            "set var platform_type = 77",
            "print platform_type",
            "set $r15 = 0x1234567890",
            "stepi",
            "print/x $r15",
            "set $cr3 = 0",
            "print $cr3 == 0",
            "delete",
            "detach",
        ],
    );
    assert!(text.contains("= 77") && text.contains("= 0x1234567890"), "{text}");
    let (_, finished) = run.ends_with_any(&[0, 1]);
    finished.says(&["only the general registers, RIP and RFLAGS can be set", "gdb has detached"]);
}

/// Where data watchpoints don't work, gdb is told, and the reason is on standard error.
fn a_watchpoint_or_its_refusal() {
    let folder = Folder::new();
    let run = tsc_sync(&folder, "");
    let text = session(&folder, &["watch platform_type", "continue", "delete", "detach"]);
    let (_, finished) = run.ends_with_any(&[0, 1]);
    if Needs::KvmWithWatchpoints.unmet().is_none() {
        assert!(text.contains("hit Hardware watchpoint") && text.contains("New value"), "{text}");
    } else {
        assert!(text.contains("Could not insert hardware watchpoint"), "{text}");
        finished.says(&["gdb: data watchpoints don't work on this host"]);
    }
}

fn ctrl_c_stops_a_spinner() {
    let folder = Folder::new();
    let run = start(&folder, jitterbug("run spin --cpus 2 --timeout 2s").within(60));
    let mut client = Client::new(&folder);
    assert!(client.ask("?").starts_with("T05"));
    client.send("vCont;c");
    run.prints("spin: 2 vCPUs up\n");
    client.interrupt();
    assert!(client.answer().starts_with("T02"));
    let stopped = [client.ask("Hg1"), client.ask("g"), client.ask("Hg2"), client.ask("g")];
    // It is stopped for longer than the time limit, and stays where it is.
    thread::sleep(Duration::from_secs(3));
    assert_eq!([client.ask("Hg1"), client.ask("g"), client.ask("Hg2"), client.ask("g")], stopped);
    assert!(client.ask("vCont;s:2;c").starts_with("T05"));
    assert!(client.ask("vCont;s:63").starts_with("T05thread:02"), "no such thread: the last one");
    client.ask("Hg1");
    assert_eq!(client.ask("g"), stopped[1], "the other vCPU stands still");
    client.send("vCont;c");
    assert!(client.answer().starts_with("X0e"), "SIGALRM: the time limit");
    run.ends_with(0);
}

fn a_client_that_goes_lets_the_machine_run() {
    let folder = Folder::new();
    let run = start(&folder, jitterbug("run spin --cpus 2").within(60));
    let mut client = Client::new(&folder);
    assert!(client.ask("?").starts_with("T05"));
    drop(client);
    run.reports("gdb has gone without `detach`: the machine goes on, and another gdb can connect");
    run.prints("spin: 2 vCPUs up\n");
    let mut client = Client::new(&folder);
    assert!(client.ask("?").starts_with("T05"));
    assert_eq!(client.ask("D"), "OK");
    run.reports("gdb has detached itself");
    let mut client = Client::new(&folder);
    // The next one may have come meanwhile.
    client.write(b"$m0,ffffff#2d");
    run.reports("the client doesn't speak gdb's protocol");
    let mut client = Client::new(&folder);
    client.write(b"$?#00");
    assert!(client.ask("?").starts_with("T05"), "the garbled packet was refused");
    client.send("k");
    run.ends_with(130).says(&["gdb has killed the machine", "interrupted"]);
    assert!(!folder.join("socket").exists());
}

fn kill_and_quit_end_the_run() {
    let folder = Folder::new();
    let run = start(&folder, jitterbug("run spin").within(60));
    let mut client = Client::new(&folder);
    assert_eq!(client.monitor("quit"), "the run ends\n");
    run.ends_with(130);
    let run = start(&folder, jitterbug("run spin").within(60));
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.ends_with(130);
}

fn what_it_goes_with() {
    for with in ["--repeat 2", "--until-failure", "--explain", "--bed"] {
        let run = jitterbug(&format!("run hello --gdb 0 {with}")).ends_with(2);
        run.says(&["--gdb"]);
    }
    let folder = Folder::new();
    // Scripts and jitter go on, and see what they would see without gdb.
    let run = jitterbug("run hello --jitter light").arg("-e").arg("In { n++; } VMM1Hz {}");
    let run = start(&folder, run.within(60));
    let mut client = Client::new(&folder);
    assert_eq!(client.ask("D"), "OK");
    let (_, finished) = run.ends_with_any(&[0, 2]);
    assert!(finished.stdout.contains("hello"), "{finished}");
}

/// Nothing says that a machine goes on that `ctl` has paused.
fn who_keeps_it_still() {
    let folder = Folder::new();
    let socket = folder.join("ctl");
    let run = jitterbug("run spin --cpus 2").arg("--ctl").arg(&socket).within(120);
    let run = start(&folder, run);
    let mut client = Client::new(&folder);
    assert!(client.ask("?").starts_with("T05"));
    assert!(answer(&socket, "status").contains("\nstopped for gdb: `continue` there ends that\n"));
    ctl(&socket, "resume").ends_with(1).says(&["jitterbug: gdb has stopped the machine"]);
    assert_eq!(answer(&socket, "pause"), "paused\n");
    for go in ["vCont;c", "vCont;s:1"] {
        assert!(client.ask(go).starts_with("T11"), "SIGSTOP");
    }
    run.reports("gdb: the machine stays where it is: `ctl` has paused it: `monitor resume` ends");
    let status = client.monitor("status");
    assert!(status.contains("stopped for gdb: ") && status.contains("\npaused: "), "{status}");
    let ended = "the pause has ended, but gdb has stopped the machine: `continue` there";
    assert!(client.monitor("resume").starts_with(ended));
    client.send("vCont;c");
    run.prints("spin: 2 vCPUs up\n");
    assert!(answer(&socket, "status").contains("\nrunning\n"));
    assert_eq!(answer(&socket, "pause"), "paused\n");
    run.reports("gdb: the machine stands still: `ctl` has paused it: `resume` of `jitterbug ctl`");
    client.interrupt();
    assert!(client.answer().starts_with("T02"));
    assert_eq!(client.ask("D"), "OK");
    run.reports("gdb has detached itself: the machine stands still, because `ctl` has paused it");
    assert!(answer(&socket, "status").contains("\npaused: `resume` ends that\n"));
    assert_eq!(answer(&socket, "resume"), "resumed\n");
    assert!(answer(&socket, "status").contains("\nrunning\n"));
    answer(&socket, "quit");
    run.ends_with(130);
}

fn a_script_keeps_it_still() {
    let folder = Folder::new();
    let script = "GUEST:ENTER:get_hwenv /!asked/ { asked = 1; suspendvm(); }";
    let run = jitterbug("run tsc-sync-fixed --cpus 1 --destructive").within(240).probe(script);
    let run = start(&folder, run);
    let mut client = Client::new(&folder);
    client.send("vCont;c");
    run.reports("gdb: the machine stands still: a script has suspended it: `resume` of");
    client.interrupt();
    assert!(client.answer().starts_with("T02"));
    let status = client.monitor("status");
    assert!(
        status.contains("stopped for gdb: ") && status.contains("\nsuspended by a"),
        "{status}"
    );
    assert!(client.ask("vCont;s:1").starts_with("T11"), "SIGSTOP");
    let ended = client.monitor("resume");
    assert!(ended.starts_with("the suspension by a script has ended, but gdb has"), "{ended}");
    assert!(client.ask("vCont;c").starts_with("W00"));
    run.ends_with(0);
}

/// What a script watches by trapped pages touches no debug register. More variables than there are
/// debug registers are watched in this way on every host.
fn a_trapped_page_is_not_watched() {
    let folder = Folder::new();
    let script = "GUEST:WRITE:platform_type {} GUEST:WRITE:tsc_* {} GUEST:READ:procset_* {}";
    let run = jitterbug("run tsc-sync-fixed --cpus 2").within(240).arg("-e").arg(script);
    let run = start(&folder, run);
    let mut client = Client::new(&folder);
    let at = address("platform_type");
    assert!(client.ask(&format!("Z2,{at:x},4")).starts_with('E'));
    assert_eq!(client.ask("D"), "OK");
    run.ends_with(0).says(&[&format!(
        "gdb: {at:#x} can't be watched: a script watches this page by trapping it"
    )]);
}

/// The address of a function or variable of [`tsc_sync`]'s guest.
fn address(name: &str) -> u64 {
    let image = guests::find("tsc-sync-fixed").expect("a guest").image;
    let symbols = inspect::Symbols::from_elf("tsc-sync-fixed", image).expect("symbols");
    symbols.address(name).expect("a symbol")
}

/// Several vCPUs can come to a breakpoint while the first stop is told.
fn each_vcpu_s_stop_is_told() {
    let folder = Folder::new();
    let run = tsc_sync(&folder, "");
    let mut client = Client::new(&folder);
    let at = address("get_hwenv");
    let mut hits = [0, 0];
    assert_eq!(client.ask(&format!("Z0,{at:x},1")), "OK");
    let end = loop {
        let stop = client.ask("vCont;c");
        if !stop.starts_with("T05") {
            break stop;
        }
        assert!(stop.contains("swbreak"), "{stop}");
        let thread = thread(&stop);
        hits[thread as usize - 1] += 1;
        client.ask(&format!("Hg{thread}"));
        let here = client.ask("g");
        assert!(here.to_lowercase().contains(&hex(at)), "{stop}: {here}");
        // As gdb goes on behind a breakpoint.
        assert_eq!(client.ask(&format!("z0,{at:x},1")), "OK");
        assert!(client.ask(&format!("vCont;s:{thread}")).starts_with("T05"));
        assert_eq!(client.ask(&format!("Z0,{at:x},1")), "OK");
    };
    assert!(end.starts_with("W00"), "{end}");
    assert!(hits[0] > 0 && hits[1] > 0, "{hits:?}");
    let finished = run.ends_with(0);
    if Needs::KvmWithBreakpoints.unmet().is_some() {
        finished.says(&["the vCPUs go in single steps, which is slow"]);
    }
}

fn more_than_four_breakpoints() {
    let folder = Folder::new();
    let run = tsc_sync(&folder, "");
    let mut client = Client::new(&folder);
    let functions = ["main", "cpuid_pass1", "cpuid_pass2", "cpuid_pass3", "get_hwenv"];
    let [first @ .., last] = functions.map(|name| format!("0,{:x},1", address(name)));
    let code = format!("m{:x},1", address("main"));
    let byte = client.ask(&code);
    for place in &first {
        assert_eq!(client.ask(&format!("Z{place}")), "OK");
    }
    let added = client.ask(&format!("Z{last}"));
    let has_int3 = Needs::KvmWithInt3.unmet().is_none();
    assert_eq!(added == "OK", has_int3, "{added}");
    let mut stops = 0;
    while client.ask("vCont;c").starts_with("T05") {
        assert_eq!(client.ask(&code), byte, "no int3 is seen");
        stops += 1;
    }
    let finished = run.ends_with(0);
    // `main` once, the other three on each of two vCPUs.
    if has_int3 {
        assert!(stops > 7, "{stops}: {finished}");
    } else {
        assert_eq!(stops, 7, "{finished}");
        finished.says(&["5 debug registers are needed, of which the processor has 4"]);
    }
}

fn a_store_stops_the_machine() {
    let folder = Folder::new();
    let run = tsc_sync(&folder, "");
    let mut client = Client::new(&folder);
    let at = address("platform_type");
    let read = format!("m{at:x},4");
    assert_eq!(client.ask(&read), "ffffffff", "from the image");
    assert!(client.ask(&format!("Z3,{at:x},4")).starts_with('E'), "loads only");
    assert_eq!(client.ask(&format!("Z2,{at:x},4")), "OK");
    let mut values = Vec::new();
    loop {
        let stop = client.ask("vCont;c");
        if !stop.starts_with("T05") {
            assert!(stop.starts_with("W00"), "{stop}");
            break;
        }
        assert!(stop.contains(&format!("watch:{at:x}")), "{stop}");
        values.push(client.ask(&read));
    }
    // The guest stores that nothing is known, and then that this is VMware's platform.
    assert_eq!(values, ["00000000", "03000000"]);
    run.ends_with(0).says(&["no processor can watch for loads only"]);
}
