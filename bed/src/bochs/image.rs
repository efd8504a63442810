//! The CD-ROM from which the machine boots: Bochs loads no kernel by itself.

use std::fs;
use std::path::Path;

use super::FOLDER;
use super::processor::Processor;
use crate::error::{At, Result};
use crate::tool;

/// The name of the image.
pub(super) const IMAGE: &str = "image.iso";
/// The name of the kernel.
pub(super) const KERNEL: &str = "vmlinuz";
const CONFIGURATION: &str = "isolinux.cfg";

/// The kernel's options.
///
/// * 115200 baud: with Bochs' default of 9600 the end of the console is lost at power-off.
/// * The TSC advances by one with each instruction, and no timer is exact enough to measure it by:
///   `tsc_early_khz` gives its rate, which belongs to `ips` in Bochs' configuration.
/// * Mitigations and tests of algorithms cost time and show nothing here.
const OPTIONS: &str = "console=ttyS0,115200 panic=0 no_timer_check mitigations=off tsc=reliable \
                       tsc_early_khz=100000 quiet cryptomgr.notests=1";

/// Makes the image in this folder, in which the kernel and the folder of Bochs have their names.
pub(super) fn make(initramfs: &Path, processor: Processor, folder: &Path) -> Result<()> {
    let configuration = folder.join(CONFIGURATION);
    let more = processor.kernel_options();
    let text = format!(
        "SERIAL 0 115200\nDEFAULT linux\nPROMPT 0\nLABEL linux\n KERNEL /{KERNEL}\n \
         INITRD /initrd\n APPEND {OPTIONS}{more}\n"
    );
    fs::write(&configuration, text).at(&configuration)?;
    let name = initramfs.file_name().unwrap_or_default().to_string_lossy();
    let xorriso = folder.join(FOLDER).join("xorriso");
    let parts = [
        format!("/isolinux/isolinux.bin={FOLDER}/isolinux.bin"),
        format!("/isolinux/ldlinux.c32={FOLDER}/ldlinux.c32"),
        format!("/isolinux/{CONFIGURATION}={CONFIGURATION}"),
        format!("/{KERNEL}={KERNEL}"),
        format!("/initrd={name}"),
    ];
    let mut arguments = vec!["-as", "mkisofs", "-quiet", "-f", "-o", IMAGE];
    arguments.extend(["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"]);
    arguments.extend(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]);
    arguments.push("-graft-points");
    arguments.extend(parts.iter().map(String::as_str));
    tool::run_with_libraries(&xorriso, &arguments, folder, &Path::new(FOLDER).join("lib"))?;
    Ok(())
}
