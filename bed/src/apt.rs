//! Gets Debian packages, without root and without installing anything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{At, Error, Result};
use crate::tool;

/// The package that depends on the current kernel for virtual machines.
const NEWEST_KERNEL: &str = "linux-image-cloud-amd64";

/// apt, with the host's own package lists or with separate ones.
#[derive(Debug)]
pub(crate) struct Apt {
    get: PathBuf,
    cache: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// Uses the host's package lists as they are.
    pub(crate) fn of_the_machine() -> Result<Self> {
        let find = |name: &str| {
            tool::find(name).ok_or_else(|| Error::Missing {
                what: format!("{name}, to get a kernel and busybox from Debian"),
                remedy: "run it on Debian; elsewhere there is no bed yet".into(),
            })
        };
        Ok(Self { get: find("apt-get")?, cache: find("apt-cache")?, options: Vec::new() })
    }

    /// Uses new package lists in this folder, fetched now from the same sources.
    fn with_lists_in(folder: &Path) -> Result<Self> {
        let mut apt = Self::of_the_machine()?;
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).at(&path)?;
        }
        for (key, part) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
            apt.option(key, &folder.join(part).display().to_string());
        }
        apt.run_get(&["update", "-q"], folder)?;
        Ok(apt)
    }

    /// Calls `take` with the machine's package lists, and if that fails with new ones, which are
    /// kept in the folder `scratch`: the machine's may be missing, or so old that their packages no
    /// longer exist.
    pub(crate) fn with_either_lists<T>(
        scratch: &Path,
        take: impl Fn(&Self) -> Result<T>,
    ) -> Result<T> {
        take(&Self::of_the_machine()?)
            .or_else(|_| take(&Self::with_lists_in(&scratch.join("apt"))?))
    }

    fn option(&mut self, key: &str, value: &str) {
        self.options.extend(["-o".into(), format!("{key}={value}")]);
    }

    fn run_get(&self, arguments: &[&str], folder: &Path) -> Result<Vec<u8>> {
        // When apt runs as root, it otherwise requires that its user `_apt` can access the folder.
        let mut all = vec!["-o".to_owned(), "APT::Sandbox::User=root".to_owned()];
        all.extend(self.options.iter().cloned());
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        tool::run(&self.get, &all, folder)
    }

    /// The packages on which a package depends.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let mut all = self.options.clone();
        all.extend(["depends", "--important", package].map(str::to_owned));
        let said = tool::run(&self.cache, &all, Path::new("/"))?;
        let said = String::from_utf8_lossy(&said);
        let depends = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(depends.map(str::to_owned).collect())
    }

    /// The name of the current kernel's package.
    pub(crate) fn kernel(&self) -> Result<String> {
        let depends = self.depends(NEWEST_KERNEL).map_err(|_| Error::Missing {
            what: format!("the package {NEWEST_KERNEL}, which apt doesn't know"),
            remedy: "on Debian, see that `apt-get update` works; elsewhere there is no bed yet"
                .into(),
        })?;
        let kernel = depends.into_iter().find(|name| name.starts_with("linux-image-"));
        kernel.ok_or_else(|| Error::Package {
            package: NEWEST_KERNEL.into(),
            problem: "names no kernel".into(),
        })
    }

    /// The packages of libraries that these packages need and that are not installed here.
    pub(crate) fn missing_libraries(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut simulation = vec!["install", "--simulate", "--no-install-recommends"];
        simulation.extend(packages);
        let said = self.run_get(&simulation, Path::new("/")).map_err(unknown_package)?;
        Ok(String::from_utf8_lossy(&said).lines().filter_map(library).collect())
    }

    /// Unpacks these packages into a folder. The package files themselves are not kept.
    pub(crate) fn unpack(&self, packages: &[String], folder: &Path) -> Result<()> {
        let debs = folder.join("debs");
        fs::create_dir_all(&debs).at(&debs)?;
        let packages = packages.iter().map(String::as_str);
        let download: Vec<&str> = ["download", "-q"].into_iter().chain(packages).collect();
        self.run_get(&download, &debs)?;
        let dpkg = tool::find("dpkg").ok_or_else(|| Error::Missing {
            what: "dpkg".into(),
            remedy: "run it on Debian; elsewhere there is no bed yet".into(),
        })?;
        for deb in fs::read_dir(&debs).at(&debs)? {
            tool::run(
                &dpkg,
                &["-x".as_ref(), deb.at(&debs)?.path().as_os_str(), folder.as_os_str()],
                folder,
            )?;
        }
        fs::remove_dir_all(&debs).at(&debs)
    }
}

/// The package in a line such as `Inst libltdl7 (2.4.7-7 Debian:12 [amd64])`, if it is a library's.
fn library(line: &str) -> Option<String> {
    let name = line.strip_prefix("Inst ")?.split_whitespace().next()?;
    // Such a package has no shared library.
    let other = ["-common", "-data", "-bin", "-dev"].iter().any(|end| name.ends_with(end));
    // The C library belongs to this machine's loader.
    (name.starts_with("lib") && name != "libc6" && !other).then(|| name.to_owned())
}

/// Names the package that apt doesn't know, if that is the error.
fn unknown_package(error: Error) -> Error {
    let said = if let Error::Tool { said, .. } = &error { said.as_str() } else { "" };
    let name = said.lines().find_map(|line| {
        let line = line.trim().strip_prefix("E: ")?;
        line.strip_prefix("Unable to locate package ").or_else(|| {
            line.strip_prefix("Package '")?.strip_suffix("' has no installation candidate")
        })
    });
    let Some(name) = name else { return error };
    Error::Missing {
        what: format!("the package {name}, which apt doesn't know"),
        remedy: "on Debian 12, see that `apt-get update` works and that `main` is among the \
                 sources; elsewhere there is no such bed yet"
            .into(),
    }
}

#[cfg(test)]
#[path = "apt_tests.rs"]
mod tests;
