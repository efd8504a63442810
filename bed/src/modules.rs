//! Finds the kernel modules that are needed, and their order, from the modules themselves. (The
//! list `modules.dep` is created when a package is installed, and this one is not.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{At, Error, Result};
use crate::tool;

/// The modules of an unpacked kernel.
pub(crate) struct Modules<'a> {
    package: &'a str,
    busybox: &'a Path,
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl<'a> Modules<'a> {
    /// The modules in `lib/modules/VERSION`.
    pub(crate) fn of(package: &'a str, folder: &Path, busybox: &'a Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(&folder.join("kernel"), &mut files)?;
        let list = folder.join("modules.builtin");
        let text = fs::read_to_string(&list).at(&list)?;
        let built_in = text.lines().filter_map(|line| name(Path::new(line))).collect();
        Ok(Self { package, busybox, files, built_in })
    }

    /// The contents of these modules and of those that they need, in an order in which they can be
    /// loaded.
    pub(crate) fn needed(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut loaded = Vec::new();
        for module in wanted {
            self.add(module, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(&self, module: &str, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        if self.built_in.contains(module) || loaded.iter().any(|(name, _)| name == module) {
            return Ok(());
        }
        let file = self.files.get(module).ok_or_else(|| self.wrong(format!("has no {module}")))?;
        let content = self.read(file)?;
        for needed in dependencies(&content) {
            self.add(&needed, loaded)?;
        }
        loaded.push((module.to_owned(), content));
        Ok(())
    }

    fn read(&self, file: &Path) -> Result<Vec<u8>> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("ko") => fs::read(file).at(file),
            Some("xz") => {
                tool::run(self.busybox, &["xzcat".as_ref(), file.as_os_str()], Path::new("/"))
            }
            _ => Err(self.wrong(format!("{} is packed in a way unknown here", file.display()))),
        }
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Package { package: self.package.to_owned(), problem }
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// A module's name. In the file's name, `_` may be written as `-`.
fn name(file: &Path) -> Option<String> {
    let (name, _) = file.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// The names after `depends=` in section `.modinfo`, a list of strings that end with NUL.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let list = module[at + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// A module without the signature behind it: a length of 4 bytes ends a record of 12, which is
/// followed by a mark (Linux, `include/linux/module_signature.h`). Checking a signature takes an
/// emulated processor longer than everything else that loading does. Debian's kernel also loads
/// modules without one.
pub(crate) fn without_signature(module: &[u8]) -> &[u8] {
    const MARK: &[u8] = b"~Module signature appended~\n";
    const RECORD: usize = 12;
    let cut = || {
        let (rest, length) = module.strip_suffix(MARK)?.split_last_chunk::<4>()?;
        let signature = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        rest.len().checked_sub(RECORD - length.len())?.checked_sub(signature)
    };
    cut().map_or(module, |length| &module[..length])
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
