//! Compiles the guests: each folder beside `rt` becomes an image, and its sources that know `FIXED` a twin of it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "flags.rs"]
mod flags;

use flags::{FLAGS, LINK_FLAGS};

/// The folder of guests that are one file each and belong to no catalogue: what tests run.
const CASES: &str = "cases";
/// They are kept as they were reported, warnings included.
const CASE_FLAGS: &[&str] = &["-w"];
/// The folder of modules for Linux, which the bed builds for its kernel.
const MODULES: &str = "modules";

fn main() {
    let guests =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let cc = Compiler::find(&guests, &out);

    let script = cc.preprocess("rt/link.lds");
    let runtime = cc.compile_folder("rt", "rt", &[]);
    let mut images = Vec::new();
    for folder in guest_folders(&guests) {
        let mut build = |image: String, flags: &[&str]| {
            let mut objects = cc.compile_folder(&folder, &image, flags);
            objects.extend_from_slice(&runtime);
            cc.link(&script, &objects, &format!("{image}.elf"));
            images.push(image);
        };
        build(folder.clone(), &[]);
        if knows_fixed(&guests.join(&folder)) {
            build(format!("{folder}-fixed"), &["-DFIXED"]);
        }
    }
    for source in sources(&guests.join(CASES)) {
        let name = source.file_stem().unwrap_or_default().to_string_lossy();
        let image = format!("case-{name}");
        let mut objects = vec![cc.compile(CASES, &source, &image, CASE_FLAGS)];
        objects.extend_from_slice(&runtime);
        cc.link(&script, &objects, &format!("{image}.elf"));
    }
    println!("cargo:rustc-env=GUEST_IMAGES={}", images.join(" "));
    println!("cargo:rerun-if-changed=build.rs");
}

/// The folders with a guest in them: those with C sources, but for the runtime, cases and modules.
fn guest_folders(guests: &Path) -> Vec<String> {
    let mut folders: Vec<String> = read_dir(guests)
        .into_iter()
        .filter(|path| path.is_dir())
        .filter(|path| !["rt", CASES, MODULES].iter().any(|other| path.ends_with(other)))
        .filter(|path| !sources(path).is_empty())
        .map(|path| file_name(&path))
        .collect();
    folders.sort();
    // A new folder is seen, too.
    println!("cargo:rerun-if-changed={}", guests.display());
    folders
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = read_dir(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "c" || e == "S"))
        .collect();
    found.sort();
    found
}

fn knows_fixed(folder: &Path) -> bool {
    sources(folder)
        .iter()
        .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("FIXED")))
}

fn read_dir(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|e| fail(&format!("can't list {}: {e}", folder.display())));
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The C compiler, run in `guests/` so that debug information says `guests/...` whatever the checkout's place.
struct Compiler {
    program: PathBuf,
    guests: PathBuf,
    out: PathBuf,
}

impl Compiler {
    fn find(guests: &Path, out: &Path) -> Self {
        let tool =
            cc::Build::new().target("x86_64-unknown-linux-gnu").try_get_compiler().unwrap_or_else(
                |e| fail(&format!("no C compiler for x86-64: {e}. Install gcc, or name one in CC")),
            );
        Self { program: tool.path().to_owned(), guests: guests.to_owned(), out: out.to_owned() }
    }

    fn compile_folder(&self, folder: &str, image: &str, flags: &[&str]) -> Vec<PathBuf> {
        sources(&self.guests.join(folder))
            .iter()
            .map(|source| self.compile(folder, source, image, flags))
            .collect()
    }

    fn compile(&self, folder: &str, source: &Path, image: &str, flags: &[&str]) -> PathBuf {
        let name = file_name(source);
        let object = self.out.join(format!("{image}.{name}.o"));
        self.run(|c| {
            c.args(FLAGS)
                .args(flags)
                .args(["-Irt", "-c"])
                .arg(format!("{folder}/{name}"))
                .arg("-o")
                .arg(&object)
        });
        object
    }

    fn preprocess(&self, script: &str) -> PathBuf {
        let result = self.out.join("link.lds");
        self.run(|c| c.args(["-E", "-P", "-undef", "-x", "c", "-Irt", script, "-o"]).arg(&result));
        result
    }

    fn link(&self, script: &Path, objects: &[PathBuf], image: &str) {
        self.run(|c| {
            c.args(LINK_FLAGS)
                .arg(format!("-Wl,-T,{}", script.display()))
                .args(objects)
                .arg("-o")
                .arg(self.out.join(image))
        });
    }

    fn run(&self, arguments: impl FnOnce(&mut Command) -> &mut Command) {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.guests).arg("-m64");
        command.arg(format!("-ffile-prefix-map={}=guests", self.guests.display()));
        arguments(&mut command);
        match command.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                fail(&format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
            }
            Err(e) => fail(&format!(
                "can't run the C compiler {}: {e}. Install gcc, or name one in CC",
                self.program.display()
            )),
        }
    }
}

/// One clear error, without a backtrace of ours around it.
fn fail(message: &str) -> ! {
    eprintln!("jitterbug-guests: {message}");
    std::process::exit(1)
}
