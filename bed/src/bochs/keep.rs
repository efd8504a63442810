//! Keeps what is needed of the unpacked packages: a corrected Bochs, and what makes its images.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{FOLDER, correct};
use crate::error::{At, Error, Result};
use crate::program;

/// Folders of libraries in Debian's packages for this processor.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const PLUGINS: &str = "usr/lib/x86_64-linux-gnu/bochs/plugins";
const BOCHS: &str = "usr/bin/bochs-bin";
const XORRISO: &str = "usr/bin/xorriso";
/// The plugin that needs more libraries than Bochs itself.
const DISPLAY: &str = "libbx_term_gui.so";

/// Files, by package, that are kept as they are.
const FILES: [(&str, &str); 5] = [
    ("xorriso", XORRISO),
    ("bochsbios", "usr/share/bochs/BIOS-bochs-latest"),
    ("vgabios", "usr/share/vgabios/vgabios.bin"),
    ("isolinux", "usr/lib/ISOLINUX/isolinux.bin"),
    ("syslinux-common", "usr/lib/syslinux/modules/bios/ldlinux.c32"),
];

/// Copies from the unpacked packages to the folder of parts.
pub(crate) fn keep(unpacked: &Path, parts: &Path) -> Result<()> {
    let to = parts.join(FOLDER);
    let plugins = to.join("plugins");
    fs::create_dir_all(&plugins).at(&plugins)?;
    for (package, file) in FILES {
        let name = Path::new(file).file_name().unwrap_or_default();
        copy(package, &unpacked.join(file), &to.join(name))?;
    }
    let from = unpacked.join(PLUGINS);
    for entry in fs::read_dir(&from).map_err(|_| lacks("bochs", &from))? {
        let path = entry.at(&from)?.path();
        if path.extension().is_some_and(|extension| extension == "so") {
            copy("bochs", &path, &plugins.join(path.file_name().unwrap_or_default()))?;
        }
    }
    keep_bochs(&unpacked.join(BOCHS), &to.join("bochs"))?;
    keep_libraries(unpacked, &to.join("lib"))
}

fn keep_bochs(from: &Path, to: &Path) -> Result<()> {
    let mut program = fs::read(from).map_err(|_| lacks("bochs", from))?;
    correct::correct(&mut program).map_err(|detail| Error::Package {
        package: "bochs".into(),
        problem: format!("not the version 2.7 of Debian 12, which the test bed corrects: {detail}"),
    })?;
    fs::write(to, program).at(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).at(to)
}

/// Copies the libraries that come from the unpacked packages; the others are installed here.
fn keep_libraries(unpacked: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at(to)?;
    let folders: Vec<PathBuf> = LIBRARIES.iter().map(|folder| unpacked.join(folder)).collect();
    let bochs = unpacked.join(BOCHS);
    let bytes = fs::read(&bochs).at(&bochs)?;
    let loader = program::loader(&bytes).ok_or_else(|| lacks("bochs", &bochs))?;
    for user in [bochs, unpacked.join(XORRISO), unpacked.join(PLUGINS).join(DISPLAY)] {
        for library in program::list(&loader, &folders, &user)? {
            if library.starts_with(unpacked) {
                let name = library.file_name().unwrap_or_default();
                fs::copy(&library, to.join(name)).at(&library)?;
            }
        }
    }
    Ok(())
}

fn copy(package: &str, from: &Path, to: &Path) -> Result<()> {
    if !from.is_file() {
        return Err(lacks(package, from));
    }
    fs::copy(from, to).at(from).map(|_| ())
}

fn lacks(package: &str, file: &Path) -> Error {
    let problem = format!("{} is not in it", file.display());
    Error::Package { package: package.into(), problem }
}
