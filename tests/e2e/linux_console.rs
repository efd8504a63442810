//! The claim: Linux finds its virtio console by ACPI, a shell there answers what is typed, long
//! output arrives whole, and the texts that decide how a run ends are seen there.

use crate::linux::{kernel, shell};

tests! {
    Linux: a_shell_at_the_virtio_console_answers, a_console_without_a_driver_is_reported;
}

fn a_shell_at_the_virtio_console_answers() {
    // The shell echoes its input, so the text that ends the run is not in it as it is.
    let commands = "busybox tty; busybox seq 1 600\nbusybox echo vCPUs: $(busybox nproc)\n\
         busybox echo do''ne\n";
    let run = shell(2, "quiet", commands).arg("--virtio-console").arg("--ok=done").ends_with(0);
    let run = run.says(&["success: the console has `done`"]);
    let console = run.stdout.replace('\r', "");
    assert!(console.contains("\n/dev/hvc0\n") && console.contains("\nvCPUs: 2\n"), "{console}");
    let numbers: Vec<_> = (1..=600).map(|number| number.to_string()).collect();
    assert!(console.contains(&format!("\n{}\n", numbers.join("\n"))), "{console}");
}

fn a_console_without_a_driver_is_reported() {
    let run = kernel(1, "quiet").arg("--virtio-console").ends_with(1);
    run.says(&["failure: kernel panic", "--virtio-console: the guest has not used it"]);
}
