//! Builds guests in other ways than they come with the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../guests/flags.rs"]
mod flags;

use crate::scratch::Folder;
use flags::{FLAGS, LINK_FLAGS};

const COMPILER: &str = "gcc";

/// Why no guest can be compiled here; `None` if it is possible.
pub(crate) fn no_compiler() -> Option<String> {
    let version = Command::new(COMPILER).arg("--version").output();
    let works = version.is_ok_and(|output| output.status.success());
    (!works).then(|| format!("no {COMPILER}"))
}

/// Another build of a guest that has one source file: with this code before its own, and with these
/// flags.
pub(crate) fn guest(folder: &Folder, name: &str, before: &str, flags: &[&str]) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    // This file is first in the image, so it moves everything after it.
    let first = folder.file("first.c", before);
    let script = folder.join("link.lds");
    let image = folder.join(format!("{name}.elf"));
    let run = |arguments: &mut dyn FnMut(&mut Command) -> &mut Command| {
        let mut command = Command::new(COMPILER);
        command.current_dir(&guests).args(["-m64", "-Irt"]);
        let output = arguments(&mut command).output().expect("a compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&mut |c| c.args(["-E", "-P", "-undef", "-x", "c", "rt/link.lds", "-o"]).arg(&script));
    let mut runtime: Vec<PathBuf> =
        fs::read_dir(guests.join("rt")).expect("the runtime").map(|f| f.unwrap().path()).collect();
    runtime.retain(|path| path.extension().is_some_and(|e| e == "c" || e == "S"));
    runtime.sort();
    run(&mut |c| {
        c.args(FLAGS).args(LINK_FLAGS).args(flags).arg(format!("-Wl,-T,{}", script.display()));
        c.arg(&first).arg(format!("{name}/{name}.c")).args(&runtime).arg("-o").arg(&image)
    });
    image
}
