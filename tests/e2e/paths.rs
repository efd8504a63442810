//! The claim: a finding is found from any folder, a name that can't be written into a report is
//! refused by name, and `-` is never the name of a file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Invocation, PROGRAM, jitterbug};
use crate::image;
use crate::scratch::Folder;

tests! {
    Kvm: a_finding_replays_in_another_folder, a_finding_and_its_guest_move_together;
    Nothing: names_that_are_not_text, a_dash_is_no_file, a_near_miss_of_a_name;
}

fn inside(folder: &Path, arguments: &str) -> Invocation {
    let mut command = Command::new(PROGRAM);
    command.args(arguments.split_ascii_whitespace()).current_dir(folder);
    Invocation::new(command)
}

/// A folder with a guest that fails, and the name of its finding there.
fn hunted() -> (Folder, String) {
    let folder = Folder::new();
    folder.file("guest.elf", image::start_and_look().bytes());
    let hunt = inside(&folder, "hunt guest.elf --cpus 2 --json").ends_with(1);
    let report = hunt.json();
    let file = report["findings"][0]["file"].as_str().expect("a finding").to_owned();
    (folder, file)
}

fn a_finding_replays_in_another_folder() {
    let (folder, file) = hunted();
    let finding = folder.join(file);
    let text = fs::read_to_string(&finding).expect("a finding");
    let guest = folder.join("guest.elf");
    assert!(text.contains(&format!("guest = \"{}\"", guest.display())), "{text}");
    for command in ["replay", "explain"] {
        inside(Path::new("/"), command).arg(&finding).start().ends_with_any(&[0]);
    }
}

fn a_finding_and_its_guest_move_together() {
    let (folder, file) = hunted();
    let other = Folder::new();
    for name in [Path::new("guest.elf"), Path::new(&file)] {
        fs::rename(folder.join(name), other.join(name)).expect("it moves");
    }
    inside(Path::new("/"), "replay").arg(other.join(&file)).ends_with(0).says(&["reproduced"]);
    fs::remove_file(other.join("guest.elf")).expect("a guest");
    inside(Path::new("/"), "replay")
        .arg(other.join(&file))
        .ends_with(2)
        .says(&["guest.elf", "--guest"]);
}

fn names_that_are_not_text() {
    let name = OsStr::from_bytes(b"caf\xe9");
    for arguments in
        ["run", "hunt", "replay", "explain", "run hello -e", "run hello --explain --out"]
    {
        jitterbug(arguments).arg(name).ends_with(2).shows("").says(&["caf\u{fffd}", "UTF-8"]);
    }
    let folder = Folder::new();
    let odd = folder.join(name);
    fs::create_dir(&odd).expect("a folder");
    fs::write(odd.join("guest.elf"), image::exit(0).bytes()).expect("a guest");
    inside(&odd, "run guest.elf").ends_with(2).shows("").says(&["caf\u{fffd}", "UTF-8"]);
}

fn a_dash_is_no_file() {
    for arguments in [
        "run hello --trace -",
        "run hello --explain --html -",
        "run hello --explain --out -",
        "hunt hello --out -",
    ] {
        let option = arguments.rsplit(' ').nth(1).expect("an option");
        jitterbug(arguments).ends_with(2).shows("").says(&[option, "not standard output"]);
    }
}

fn a_near_miss_of_a_name() {
    for command in ["run", "hunt"] {
        let refused = jitterbug(command).arg("tsc-snyc").ends_with(2).shows("");
        refused.says(&["tsc-snyc", "did you mean `tsc-sync`?"]);
    }
    for (name, near) in [("tsc", "tsc-sync"), ("hello.elf", "hello"), ("no/hello", "hello")] {
        let refused = jitterbug("run").arg(name).ends_with(2).shows("");
        refused.says(&[name, &format!("did you mean `{near}`?")]);
    }
    jitterbug("run").arg("").ends_with(2).shows("").says(&["the guest's name is empty"]);
    jitterbug("run no-such-guest").ends_with(2).shows("").says(&["`jitterbug guests`"]);
}
