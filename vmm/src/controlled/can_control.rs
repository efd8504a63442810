//! Which machines the controlled scheduler can run.

use crate::boot::kind::is_linux;
use crate::config::MachineConfig;
use crate::error::{Error, Result};

/// Fails if the controlled scheduler can't run this machine. It must see every write to the memory
/// that vCPUs share, and it doesn't see those of devices. Linux needs instructions and devices
/// that it doesn't model. Findings name neither disks nor an initrd.
pub fn can_control(config: &MachineConfig) -> Result<()> {
    let instead = "use `run` without --explain";
    if is_linux(&config.guest.bytes) {
        let problem = format!("Linux can't be searched or replayed under control: {instead}");
        return Err(Error::Image { name: config.guest.name.clone(), problem });
    }
    let refused = |setting, value: String, why| {
        let problem =
            format!("{why}, so a search under control and --explain can't have it: {instead}");
        Err(Error::Config { setting, value, problem })
    };
    let unseen = "a device writes to the guest's memory unseen";
    if let Some(disk) = config.disks.first() {
        return refused("--disk", disk.to_string(), unseen);
    }
    if config.rng {
        return refused("--rng", "(the entropy device)".into(), unseen);
    }
    if config.virtio_console {
        return refused("--virtio-console", "(the console)".into(), unseen);
    }
    match &config.initrd {
        Some(initrd) => refused("--initrd", initrd.name.clone(), "a finding can't name it"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CpuCount, GuestImage};
    use crate::disk::DiskConfig;

    fn config(image: &'static [u8]) -> MachineConfig {
        let guest = GuestImage { name: "test".into(), bytes: image.into() };
        MachineConfig::new(guest, CpuCount::new(1).unwrap())
    }

    fn refusal(config: &MachineConfig) -> String {
        can_control(config).unwrap_err().to_string()
    }

    #[test]
    fn what_it_does_not_model_is_refused() {
        assert!(can_control(&config(b"")).is_ok());
        let disk: DiskConfig = "/no/disk0".parse().unwrap();
        let disks = MachineConfig { disks: vec![disk], ..config(b"") };
        assert!(refusal(&disks).starts_with("--disk /no/disk0: "), "{}", refusal(&disks));
        let rng = MachineConfig { rng: true, ..config(b"") };
        assert!(refusal(&rng).starts_with("--rng") && refusal(&rng).contains("unseen"));
        let console = MachineConfig { virtio_console: true, ..config(b"") };
        assert!(refusal(&console).starts_with("--virtio-console"), "{}", refusal(&console));
        let initrd = GuestImage { name: "some".into(), bytes: b"x".into() };
        let initrd = MachineConfig { initrd: Some(initrd), ..config(b"") };
        assert!(refusal(&initrd).starts_with("--initrd"), "{}", refusal(&initrd));
        let linux = config(include_bytes!("../../testdata/linux.bzimage"));
        assert!(refusal(&linux).contains("Linux"), "{}", refusal(&linux));
    }
}
