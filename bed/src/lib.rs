//! The hardware-like test bed: a machine of our own making with a real `kvm-amd`.
//!
//! KVM over nested virtualisation without VMX or SVM (`kvm_pvm`) interprets ring 0, loses some
//! exits and invents others. What users have is `kvm-intel` or `kvm-amd`. QEMU's TCG emulates a
//! processor with SVM anywhere, so Debian's kernel with its own `kvm-amd` runs in it, and programs
//! in that: slowly (an exit costs 100 us), but through the same code as on hardware.
//!
//! A [`Job`] is a program and what it needs. Everything keeps its path inside: the program, its
//! libraries, its folder, its files. So its messages are the same inside as outside, and a program
//! need not be linked statically.
//!
//! * `parts`, with `apt` and `modules`: kernel, modules and busybox, out of Debian's packages;
//! * `pack`, with `initramfs` and `program`: all that is carried in, as one archive; `init.sh` in it
//!   starts the job;
//! * `run`: from the start to the power-off; `qemu` and `machine`: QEMU; `ports`: the streams that lead
//!   out of it; `results`: the files that are carried out.

#![forbid(unsafe_code)]

mod apt;
mod error;
mod initramfs;
mod job;
mod machine;
mod modules;
mod pack;
mod parts;
mod ports;
mod program;
mod qemu;
mod results;
mod run;
mod tool;

pub use error::{Error, ErrorClass, Result};
pub use job::Job;
pub use parts::{FOLDER_VARIABLE, Parts};
pub use run::run;
