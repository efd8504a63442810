//! Which faults a machine under the parallel scheduler can have.

use kvm_ioctls::Cap;

use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::fault::{FaultKind, FaultSpec, When};
use crate::identity::Identity;
use crate::kvm::{Host, KvmCpu};

/// Fails if a fault can't strike in this machine under the parallel scheduler.
pub(crate) fn check_faults(config: &MachineConfig) -> Result<()> {
    config.faults.iter().try_for_each(|spec| {
        problem_of(spec, config).map_or(Ok(()), |problem| {
            Err(Error::Config { setting: "--fault", value: spec.to_string(), problem })
        })
    })
}

/// Fails if this host can't change the TSC of a vCPU as a fault wants it.
pub(crate) fn check_clocks(faults: &[FaultSpec], cpu: &mut KvmCpu, host: &Host) -> Result<()> {
    let kinds = || faults.iter().map(|spec| spec.kind);
    if kinds().any(|kind| matches!(kind, FaultKind::TscOffset | FaultKind::TscJump))
        && !cpu.can_move_tsc()
    {
        let capability = "KVM_VCPU_TSC_OFFSET that has an effect";
        return Err(Error::Capability { capability, purpose: "change the TSC of one vCPU" });
    }
    if kinds().any(|kind| kind == FaultKind::TscDrift) {
        host.require(Cap::TscControl, "KVM_CAP_TSC_CONTROL", "change the rate of a TSC")?;
    }
    Ok(())
}

fn problem_of(spec: &FaultSpec, config: &MachineConfig) -> Option<String> {
    let (cpus, disks) = (config.cpus.get(), config.disks.len());
    if !spec.kind.is_for_run() {
        let problem = "in real time the interrupt controllers are KVM's own: `hunt` has this fault";
        return Some(problem.into());
    }
    if let Some(vcpu) = spec.vcpu.filter(|vcpu| *vcpu >= cpus) {
        return Some(format!("there is no vCPU {vcpu}: the machine has {cpus} (--cpus)"));
    }
    let is_unknown = matches!(spec.at, Some(When::Symbol(_))) && spec.at_address.is_none();
    if is_unknown || spec.symbol.is_some() && spec.address.is_none() {
        return Some("the symbol has no address yet: that has to be looked up first".into());
    }
    if spec.kind == FaultKind::ClockJump && config.identity != Identity::Kvm {
        return Some("the guest has KVM's clock only with --identity kvm".into());
    }
    if !spec.kind.is_of_disk() {
        return timing_problem(spec);
    }
    if disks == 0 {
        return Some("the machine has no disk: give one by --disk".into());
    }
    let missing = spec.disk.filter(|disk| *disk as usize >= disks);
    missing.map(|disk| format!("there is no disk {disk}: the machine has {disks}, from 0"))
}

fn timing_problem(spec: &FaultSpec) -> Option<String> {
    if !spec.kind.has_time() {
        return None;
    }
    if spec.at.is_none() && spec.every.is_none() {
        let problem = "when? Give at=TIME since the machine's start, at=mark+TIME since the guest's mark, \
             at=symbol:NAME, or every=TIME (`hunt` chooses by itself)";
        return Some(problem.into());
    }
    (spec.every.is_none() && spec.times != 1)
        .then(|| "`times` needs `every`: the time from one strike to the next".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CpuCount, GuestImage};

    #[test]
    fn what_cannot_strike_is_refused() {
        let refusal = |fault: &str, disks: &[&str]| {
            let guest = GuestImage { name: "test".into(), bytes: b"".into() };
            let config = MachineConfig {
                faults: vec![fault.parse().unwrap()],
                disks: disks.iter().map(|disk| disk.parse().unwrap()).collect(),
                ..MachineConfig::new(guest, CpuCount::new(1).unwrap())
            };
            check_faults(&config).map_err(|error| error.to_string())
        };
        assert!(refusal("ipi-drop", &["d"]).unwrap_err().contains("`hunt` has this fault"));
        assert!(refusal("disk-error", &[]).unwrap_err().contains("has no disk"));
        let refused = refusal("disk-error:disk=1", &["d"]).unwrap_err();
        assert!(refused.contains("there is no disk 1: the machine has 1"), "{refused}");
        assert!(refusal("disk-error:disk=0", &["d"]).is_ok());
        assert!(refusal("nmi", &[]).unwrap_err().contains("when?"));
        assert!(refusal("nmi:at=1ms,times=2", &[]).unwrap_err().contains("needs `every`"));
        assert!(refusal("nmi:at=1ms,vcpu=1", &[]).unwrap_err().contains("has 1 (--cpus)"));
        assert!(refusal("nmi:every=1ms,times=2", &[]).is_ok());
        assert!(refusal("msr-fail:msr=0x1b", &[]).is_ok());
        assert!(refusal("bit-flip:address=0x1000", &[]).unwrap_err().contains("when?"));
        let unresolved = refusal("bit-flip:symbol=x,at=1ms", &[]).unwrap_err();
        assert!(unresolved.contains("no address yet"), "{unresolved}");
    }
}
