//! Which faults a machine under the parallel scheduler can have.

use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::fault::FaultSpec;

/// Fails if a fault can't strike in this machine under the parallel scheduler.
pub(crate) fn check_faults(config: &MachineConfig) -> Result<()> {
    let refused = |spec: &FaultSpec, problem: String| {
        Err(Error::Config { setting: "--fault", value: spec.to_string(), problem })
    };
    let disks = config.disks.len();
    for spec in &config.faults {
        if !spec.kind.is_of_disk() {
            let problem =
                "in real time the interrupt controllers are KVM's own: `hunt` has this fault";
            return refused(spec, problem.into());
        }
        if disks == 0 {
            return refused(spec, "the machine has no disk: give one by --disk".into());
        }
        if let Some(disk) = spec.disk.filter(|disk| *disk as usize >= disks) {
            return refused(
                spec,
                format!("there is no disk {disk}: the machine has {disks}, from 0"),
            );
        }
    }
    Ok(())
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
        assert!(refusal("nmi", &["d"]).unwrap_err().contains("`hunt` has this fault"));
        assert!(refusal("disk-error", &[]).unwrap_err().contains("has no disk"));
        let refused = refusal("disk-error:disk=1", &["d"]).unwrap_err();
        assert!(refused.contains("there is no disk 1: the machine has 1"), "{refused}");
        assert!(refusal("disk-error:disk=0", &["d"]).is_ok());
    }
}
