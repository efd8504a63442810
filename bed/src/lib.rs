//! The hardware-like test bed: an emulated machine with a real `kvm-amd`.
//!
//! KVM over nested virtualisation without VMX or SVM (`kvm_pvm`) interprets ring 0, loses some
//! exits and adds others. Users have `kvm-intel` or `kvm-amd`. QEMU's TCG emulates a processor with
//! SVM on any host. Debian's kernel with its own `kvm-amd` runs on it, and programs run under that
//! kernel: slowly (an exit costs 100 us), but through the same code as on hardware.
//!
//! A [`Job`] is a program and what it needs. Inside, the program, its libraries, its folder and its
//! files have the same paths as outside. So its messages are the same, and the program need not be
//! linked statically.
//!
//! * `parts`, with `apt` and `modules`: kernel, modules and busybox, from Debian's packages;
//! * `pack`, with `initramfs` and `program`: everything that is carried in, as one archive;
//!   `init.sh` in it starts the job;
//! * `run`: a job from the start of the machine to its power-off; `qemu` and `machine`: QEMU;
//!   `ports`: the streams between the machine and the host; `results`: the files that are carried
//!   out.

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
