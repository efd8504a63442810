//! The hardware-like test bed: an emulated machine with a real `kvm-amd` or `kvm-intel`.
//!
//! KVM over nested virtualisation without VMX or SVM (`kvm_pvm`) interprets ring 0, loses some
//! exits and adds others. Users have `kvm-intel` or `kvm-amd`. QEMU's TCG emulates a processor with
//! SVM on any host, and Bochs one with VMX. Debian's kernel with its own KVM modules runs on it,
//! and programs run under that kernel: slowly (an exit costs 100 us), but through the same code as
//! on hardware.
//!
//! A [`Job`] is a program and what it needs. Inside, the program, its libraries, its folder and its
//! files have the same paths as outside. So its messages are the same, and the program need not be
//! linked statically.
//!
//! * `host`: the two hosts, and how they differ;
//! * `parts`, with `apt` and `modules`: kernel, modules, busybox and Bochs, from Debian's packages;
//! * `kernel_modules`: modules that are built for that kernel, for tests;
//! * `pack`, with `initramfs`, `program` and `input`: everything that is carried in, as one
//!   archive; `init.sh` in it starts the job;
//! * `run`: a job from the start of the machine to its power-off; `qemu` and `bochs`: the emulators
//!   and their streams; `machine`: what both have in common; `results`: the files that are carried
//!   out.

#![forbid(unsafe_code)]

mod apt;
mod bochs;
mod error;
mod host;
mod initramfs;
mod input;
mod job;
mod kernel_modules;
mod machine;
mod modules;
mod pack;
mod parts;
mod program;
mod qemu;
mod results;
mod run;
mod scratch;
mod streams;
mod tool;

pub use bochs::Processor;
pub use error::{Error, ErrorClass, Result};
pub use host::Host;
pub use job::Job;
pub use kernel_modules::kernel_modules;
pub use parts::{FOLDER_VARIABLE, Parts};
pub use run::run;
