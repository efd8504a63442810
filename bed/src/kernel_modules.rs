//! Kernel modules that are built here for the bed's kernel, with Debian's headers for it.
//!
//! The headers are unpacked once into the bed's folder, without root, and the modules are kept by
//! the kernel's version and the sources. The host needs make and gcc.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::apt::Apt;
use crate::error::{At, Error, Result};
use crate::parts::{self, Parts};
use crate::tool;

/// How the name of the package begins that has the programs of the kernel's build.
const BUILD_TOOLS: &str = "linux-kbuild-";

/// Returns a folder with the modules (`NAME.ko`) that the `Kbuild` in the folder `sources` names,
/// built for the kernel of the bed; `tell` gets a message if that takes a while.
pub fn kernel_modules(parts: &Parts, sources: &Path, tell: impl Fn(&str)) -> Result<PathBuf> {
    let kept = parts::folder()?;
    let package = parts.kernel_package()?;
    let version = package.trim_start_matches("linux-image-");
    let sources = read(sources)?;
    let built = kept.join(format!("modules-{version}-{:016x}", hash(&sources)));
    if built.is_dir() {
        return Ok(built);
    }
    let programs = ["make", "gcc"].map(|name| {
        let remedy = "install the packages make and gcc".into();
        tool::find(name)
            .ok_or_else(|| Error::Missing { what: format!("{name}, to build modules"), remedy })
    });
    let [make, gcc] = programs;
    let (make, gcc) = (make?, gcc?);
    let headers = kept.join(format!("headers-{version}"));
    if !headers.is_dir() {
        let place = kept.display();
        tell(&format!(
            "the test bed: fetches the headers of Debian's kernel {version} into {place}"
        ));
        fetch(version, &kept, &headers)?;
    }
    tell(&format!("the test bed: builds modules for Debian's kernel {version}"));
    let scratch = tempfile::Builder::new().prefix("build-").tempdir_in(&kept).at(&kept)?;
    let folder = scratch.path().join("modules");
    fs::create_dir(&folder).at(&folder)?;
    for (name, content) in &sources {
        let file = folder.join(name);
        fs::write(&file, content).at(&file)?;
    }
    build(&make, &gcc, &headers, version, &folder)?;

    let modules = scratch.path().join("built");
    fs::create_dir(&modules).at(&modules)?;
    let mut count = 0;
    for entry in fs::read_dir(&folder).at(&folder)? {
        let file = entry.at(&folder)?.path();
        if let Some(name) = file.file_name().filter(|_| has_extension(&file, "ko")) {
            fs::copy(&file, modules.join(name)).at(&file)?;
            count += 1;
        }
    }
    if count == 0 {
        let problem = "its Kbuild names no module".into();
        return Err(Error::File { path: folder, problem });
    }
    parts::rename(&modules, &built)?;
    Ok(built)
}

/// The sources, by name.
fn read(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let file = entry.at(folder)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "Kbuild" || has_extension(&file, "c") || has_extension(&file, "h") {
            sources.push((name, fs::read(&file).at(&file)?));
        }
    }
    if !sources.iter().any(|(name, _)| name == "Kbuild") {
        let problem = "it has no file Kbuild that names the modules".into();
        return Err(Error::File { path: folder.to_owned(), problem });
    }
    sources.sort();
    Ok(sources)
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

fn hash(sources: &[(String, Vec<u8>)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    hasher.finish()
}

/// Fetches the headers of a kernel, and the programs of its build.
fn fetch(version: &str, kept: &Path, to: &Path) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(kept).at(kept)?;
    let unpacked = scratch.path().join("unpacked");
    fs::create_dir(&unpacked).at(&unpacked)?;
    Apt::with_either_lists(scratch.path(), |apt| unpack(version, apt, &unpacked))?;
    parts::rename(&unpacked, to)
}

fn unpack(version: &str, apt: &Apt, folder: &Path) -> Result<()> {
    let headers = format!("linux-headers-{version}");
    let depends = apt.depends(&headers).map_err(|_| Error::Missing {
        what: format!("the package {headers}, which apt doesn't know"),
        remedy: "see that `apt-get update` works; if Debian has a newer kernel by now, remove the \
                 bed's folder of parts, and it takes that"
            .into(),
    })?;
    let is_needed =
        |name: &String| name.starts_with("linux-headers-") || name.starts_with(BUILD_TOOLS);
    let mut packages: Vec<String> = depends.into_iter().filter(is_needed).collect();
    let names = packages.iter().map(String::as_str);
    let tools: Vec<&str> = names.filter(|name| name.starts_with(BUILD_TOOLS)).collect();
    let libraries = apt.missing_libraries(&tools)?;
    packages.extend(libraries);
    packages.push(headers);
    apt.unpack(&packages, folder)
}

/// Builds the modules in a folder (`Documentation/kbuild/modules.rst`).
fn build(make: &Path, gcc: &Path, headers: &Path, version: &str, folder: &Path) -> Result<()> {
    let sources = headers.join("usr/src");
    let entries = fs::read_dir(&sources).at(&sources)?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let common = names.into_iter().find(|name| name.ends_with("-common"));
    let package = format!("linux-headers-{version}");
    let common = common.ok_or_else(|| Error::Package {
        package: package.clone(),
        problem: format!("no folder in {} ends with -common", sources.display()),
    })?;
    // The Makefile in the package expects the packages where root installs them.
    let makefile = sources.join(common).join("Makefile");
    let arguments = [
        "-C".to_owned(),
        sources.join(package).display().to_string(),
        "-f".into(),
        makefile.display().to_string(),
        format!("CC={}", gcc.display()),
        format!("M={}", folder.display()),
        "modules".into(),
    ];
    let libraries = headers.join("usr/lib/x86_64-linux-gnu");
    tool::run_with_libraries(make, &arguments, folder, &libraries).map(|_| ())
}

#[cfg(test)]
#[path = "kernel_modules_tests.rs"]
mod tests;
