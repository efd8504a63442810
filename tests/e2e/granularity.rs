//! The claims: with `--granularity instruction` a bug is found and replays in memory that is not
//! trapped; what a guest reads of time is the same each time; and an access that a trapped page
//! doesn't support is reported, with an alternative.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::compile;
use crate::harness::jitterbug;
use crate::image;
use crate::scratch::Folder;

tests! {
    Kvm: an_image_without_sections_is_stepped;
    KvmAndCompiler: misuse_of_a_watched_page_is_named;
    QuickKvm: a_bug_in_private_memory_is_found, the_time_is_a_function_of_the_schedule,
        every_step_comes_out_the_same_twice;
    Nothing: a_bad_granularity_is_refused;
}

/// Hunts and returns the report; findings are written to `folder`.
fn hunt(folder: &Folder, arguments: &str, status: i32) -> Value {
    jitterbug(&format!("hunt {arguments} --json --out")).arg(&**folder).ends_with(status).json()
}

/// A guest whose section `.shared` has another name: nothing shows that its vCPUs share what is in
/// it, and the memory that is trapped instead contains none of it.
fn hidden(folder: &Folder, name: &str) -> PathBuf {
    const NAME: &[u8] = b"\0.shared\0";
    let mut image = image::guest(name).to_vec();
    let at = image.windows(NAME.len()).position(|bytes| bytes == NAME).expect("the name");
    image[at..at + NAME.len()].copy_from_slice(b"\0.hidden\0");
    let file = folder.join("hidden.elf");
    fs::write(&file, image).expect("a file");
    file
}

fn a_bug_in_private_memory_is_found() {
    let folder = Folder::new();
    let guest = hidden(&folder, "lost-update");
    let guest = guest.display();
    let options = "--cpus 2 --strategy pct";

    let watching = hunt(&folder, &format!("{guest} {options} --runs 3"), 0);
    assert!(watching["machine"]["granularity"].is_null(), "{watching:#}");
    // A vCPU that waits in memory that is not trapped is taken out of the run until that memory
    // changes, so nothing is lost. Only one interleaving is possible.
    assert_eq!((&watching["exhausted"], &watching["cut_short"]), (&true.into(), &0.into()));
    assert_eq!(watching["failed"], 0);

    let stepping = hunt(&folder, &format!("{guest} {options} --granularity instruction"), 1);
    let found = &stepping["findings"][0];
    assert_eq!(stepping["machine"]["granularity"], "instruction");
    assert_eq!(found["finding"]["verdict"], "the guest's failure code 1", "{stepping:#}");
    assert_eq!(found["finding"]["machine"]["granularity"], "instruction");
    let file = found["file"].as_str().expect("a file");
    jitterbug("replay --repeat 5").arg(file).ends_with(0).says(&["reproduced 5 times"]);

    // With other scheduling points the schedule means something else.
    let text = fs::read_to_string(file).expect("the finding");
    fs::write(file, text.replace("granularity = \"instruction\"\n", "")).expect("a file");
    jitterbug("replay").arg(file).ends_with(1).says(&["not reproduced"]);
}

/// Without VMware's port, tsc-sync compares TSCs. If they were the host's, `hunt` would notice it.
fn the_time_is_a_function_of_the_schedule() {
    jitterbug("hunt tsc-sync --cpus 2 --identity none --runs 3 --verify --granularity instruction")
        .within(120)
        .ends_with(0)
        .shows("")
        .says(&["0 failed, 0 cut short, 0 not repeatable"]);
}

fn an_image_without_sections_is_stepped() {
    jitterbug("hunt --runs 2").image(&image::exit(0)).ends_with(2).says(&[
        "nothing to watch: it has neither .shared nor .data or .bss; give --granularity instruction",
    ]);
    jitterbug("hunt --runs 2 --granularity instruction").image(&image::exit(0)).ends_with(0).says(
        &[
            "exhausted: every interleaving of these scheduling points was run",
            "1 runs (1 distinct)",
            "0 failed",
        ],
    );
    jitterbug("hunt --runs 2 --granularity instruction")
        .image(&image::exit(3))
        .ends_with(1)
        .says(&["the guest's failure code 3"]);
}

fn misuse_of_a_watched_page_is_named() {
    // The last misuse is noticed when the vCPU next exits; the others are noticed where they are.
    let here = "in __wrap_mark+0x";
    let misuses = [
        (r#"asm volatile("movq %0, %%rcx" : : "m"(page[4092]) : "rcx");"#, here, "8 bytes at 0x"),
        (
            r#"asm volatile("lock cmpxchg16b %0" : "+m"(*(__int128 *)page) : : "rax", "rdx");"#,
            here,
            "16 bytes at 0x",
        ),
        (
            r#"asm volatile("lgdt %0" : : "m"(*(char (*)[10])"\x7f\0\0\0\x85\xfb\xff\xff\xff\xff"));"#,
            "in print+0x",
            "its GDT at 0x",
        ),
    ];
    for (code, place, named) in misuses {
        let folder = Folder::new();
        let before = format!(
            "#include \"rt.h\"\n\nSHARED __attribute__((aligned(4096))) char page[8192];\n\
             void __wrap_mark(void);\n\nvoid __wrap_mark(void)\n{{\n\t{code}\n\tprintf(\"x\");\n}}\n"
        );
        let guest = compile::guest(&folder, "lost-update", &before, &["-Wl,--wrap=mark"]);
        let hunt = jitterbug("hunt --cpus 2 --runs 3").arg(&guest).ends_with(2).shows("");
        let way_out = "out of .shared";
        hunt.says(&[place, "vCPU 0 at RIP 0x", named, way_out, "--granularity instruction"]);
    }
}

fn every_step_comes_out_the_same_twice() {
    let folder = Folder::new();
    for guest in ["lost-wakeup", "irq-mainline", "tlb-shootdown", "abba", "ap-stack"] {
        for strategy in ["random", "pct"] {
            let options = "--granularity instruction --runs 40 --keep-going --verify --seed 3";
            let arguments = format!("{guest} --strategy {strategy} {options} --json --out");
            // Whether one of these few runs fails depends on the seed.
            let hunt = jitterbug(&format!("hunt {arguments}")).arg(&*folder).within(120).start();
            let (_, ended) = hunt.ends_with_any(&[0, 1]);
            let report = ended.json();
            assert_eq!((&report["runs"], &report["diverged"]), (&40.into(), &0.into()), "{ended}");
        }
    }
}

fn a_bad_granularity_is_refused() {
    jitterbug("hunt tsc-sync --granularity fine").ends_with(2).says(&["give watch or instruction"]);
}
