//! The claim: gdb stops an unmodified Linux by Ctrl-C, at a function of its kernel and behind a
//! store to its data, steps it, and lets it go on.

use std::thread;
use std::time::Duration;

use crate::gdb_client::{self, Client, hex};
use crate::linux::shell;
use crate::needs::Needs;
use crate::run_gdb::start;
use crate::scratch::Folder;

tests! {
    Linux: linux_stops_at_a_function_and_goes_on;
}

fn linux_stops_at_a_function_and_goes_on() {
    let folder = Folder::new();
    // Each `>` opens a file.
    let commands = "busybox grep -E ' (__x64_sys_openat|jiffies)$' /proc/kallsyms\n\
         busybox echo sta''rted\nbusybox sleep 2\n\
         for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > /dev/null; done\n\
         busybox echo sta''yed whole\nbusybox poweroff -f\n";
    let run = start(&folder, shell(2, "console=ttyS0", commands));
    let mut client = Client::new(&folder);
    client.send("vCont;c");
    run.prints("started\r");
    client.interrupt();
    assert!(client.answer().starts_with("T02"));
    let console = run.printed();
    let address = |name: &str| {
        let line = console.lines().find(|line| line.trim_end().ends_with(&format!(" {name}")));
        let number = line.and_then(|line| line.split(' ').next()).expect("a symbol");
        u64::from_str_radix(number, 16).expect("an address")
    };
    let (function, ticks) = (address("__x64_sys_openat"), address("jiffies"));
    let stacks = client.monitor("stacks");
    assert!(stacks.contains("vCPU 0: ") && stacks.contains("vCPU 1: "), "{stacks}");

    assert_eq!(client.ask(&format!("m{function:x},8")).len(), 16);
    if Needs::KvmWithBreakpoints.unmet().is_none() {
        stops_at(&mut client, function);
    } else {
        stops_while_it_goes_in_steps(&mut client, function);
    }
    if Needs::KvmWithWatchpoints.unmet().is_none() {
        stops_behind_a_store(&mut client, ticks);
    }
    assert_eq!(client.ask("D"), "OK");
    run.prints("stayed whole\r");
    run.ends_with(0).says(&["the guest powered the machine off"]);
}

fn stops_at(client: &mut Client, function: u64) {
    assert_eq!(client.ask(&format!("Z1,{function:x},1")), "OK");
    let stop = client.ask("vCont;c");
    assert!(stop.starts_with("T05") && stop.contains("hwbreak"), "{stop}");
    let thread = gdb_client::thread(&stop);
    client.ask(&format!("Hg{thread}"));
    let here = client.ask("g").to_lowercase();
    assert!(here.contains(&hex(function)), "{function:x}: {here}");
    let stacks = client.monitor("stacks");
    assert!(stacks.contains("__x64_sys_openat+0x0"), "{stacks}");
    assert_eq!(client.ask(&format!("z1,{function:x},1")), "OK");
    // Interrupts are held: each step stays in the function.
    for _ in 0..3 {
        assert!(client.ask(&format!("vCont;s:{thread}")).starts_with("T05"));
        let stacks = client.monitor("stacks");
        assert!(stacks.contains("__x64_sys_openat+0x"), "{stacks}");
    }
}

/// Where the host has no breakpoints, Linux is too large to come to the function in time.
fn stops_while_it_goes_in_steps(client: &mut Client, function: u64) {
    assert_eq!(client.ask(&format!("Z1,{function:x},1")), "OK");
    client.send("vCont;c");
    thread::sleep(Duration::from_secs(1));
    client.interrupt();
    let stop = client.answer();
    assert!(stop.starts_with("T02") || stop.contains("hwbreak"), "{stop}");
    assert_eq!(client.ask(&format!("z1,{function:x},1")), "OK");
}

fn stops_behind_a_store(client: &mut Client, ticks: u64) {
    let before = client.ask(&format!("m{ticks:x},8"));
    assert_eq!(client.ask(&format!("Z2,{ticks:x},8")), "OK");
    let stop = client.ask("vCont;c");
    assert!(stop.starts_with("T05") && stop.contains("watch:"), "{stop}");
    assert_ne!(client.ask(&format!("m{ticks:x},8")), before);
    assert_eq!(client.ask(&format!("z2,{ticks:x},8")), "OK");
}
