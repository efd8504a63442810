//! The system calls that the program's threads may make once it is set up (seccomp(2)).
//!
//! A guest, an image or a script that finds a hole in this program then reaches only what the
//! program itself needs: it can start no program, open no connection and make no other thread's
//! memory its own. The lists are in [`calls`]. There are two filters: one for all threads, and a
//! narrower one for the threads of the vCPUs of a machine that runs in real time, which execute
//! what the guest asks for and open nothing. The kernel asks both filters of such a thread.
//!
//! A call that is not on the list ends the program with a message (`sigsys.rs`). The filters are of
//! the crate seccompiler of the rust-vmm project, which Firecracker uses as well.

pub mod calls;

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, apply_filter_all_threads,
};

use super::sigsys;
use crate::error::{Error, Result};
use calls::{Allowed, Filter};

/// The filter of vCPUs' threads, once the program is confined.
static OF_VCPUS: OnceLock<BpfProgram> = OnceLock::new();

/// Whether the kernel can filter system calls.
pub fn is_possible() -> bool {
    let action = libc::SECCOMP_RET_TRAP;
    // SAFETY: the call reads the action, which is live, and writes nothing.
    let known = unsafe {
        let question = libc::SECCOMP_GET_ACTION_AVAIL;
        libc::syscall(libc::SYS_seccomp, question, 0, &raw const action)
    };
    known == 0
}

/// Confines all threads of the program, those that exist and those that will. Returns false where
/// the kernel can't do it.
pub fn confine() -> Result<bool> {
    if !is_possible() {
        return Ok(false);
    }
    let of_vcpus = compile(Filter::Vcpu)?;
    sigsys::install()?;
    apply_filter_all_threads(&without_clone3()?).map_err(refused)?;
    apply_filter_all_threads(&compile(Filter::All)?).map_err(refused)?;
    // A second call, for which there is no reason, would be refused or change nothing.
    let _ = OF_VCPUS.set(of_vcpus);
    Ok(true)
}

/// Called on the thread of a vCPU before its guest runs: confines it further, if the program is
/// confined.
pub fn confine_vcpu() -> Result<()> {
    OF_VCPUS.get().map_or(Ok(()), |filter| apply_filter(filter).map_err(refused))
}

/// Compiles a filter. `KVM_RUN` comes first among the requests: the kernel goes through them in
/// order, at each exit of a guest.
fn compile(filter: Filter) -> Result<BpfProgram> {
    let mut rules = BTreeMap::<i64, Vec<SeccompRule>>::new();
    for Allowed { call, argument, .. } in calls::of(filter) {
        let of_call = rules.entry(call.id().into()).or_default();
        if let Some(argument) = argument {
            let calls::Argument { index, mask, value } = argument;
            let compare = match mask {
                calls::WHOLE => SeccompCmpOp::Eq,
                mask => SeccompCmpOp::MaskedEq(mask),
            };
            let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, compare, value);
            let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
            of_call.push(rule.map_err(seccompiler::Error::from).map_err(refused)?);
        }
    }
    program(rules, SeccompAction::Trap, SeccompAction::Allow)
}

/// The filter by which glibc finds that the kernel has no clone3(2): that call's flags are in
/// memory, where no filter sees whether they are those of a thread. (Container runtimes do the
/// same.)
fn without_clone3() -> Result<BpfProgram> {
    let rules = BTreeMap::from([(calls::Sysno::clone3.id().into(), Vec::new())]);
    program(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram> {
    SeccompFilter::new(rules, others, these, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .map_err(|error| refused(error.into()))
}

fn refused(error: seccompiler::Error) -> Error {
    let source = match error {
        seccompiler::Error::Prctl(source) | seccompiler::Error::Seccomp(source) => source,
        other => io::Error::other(other),
    };
    Error::System { what: "the system calls can't be filtered: give --no-seccomp", source }
}

#[cfg(test)]
#[path = "seccomp_tests.rs"]
mod tests;
