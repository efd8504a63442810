//! The device status (2.1): how far driver and device have come with each other.

use virtio_bindings::virtio_config as spec;

/// The status of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status(u32);

/// What a write to the status register asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To reset the device.
    Reset,
    /// To set bits, all of which are legal now. `features` tells whether `FEATURES_OK` is new among
    /// them.
    Set { to: Status, features: bool },
    /// Something that the specification forbids.
    Illegal,
}

impl Status {
    /// The guest has noticed the device.
    pub(super) const ACKNOWLEDGE: u32 = spec::VIRTIO_CONFIG_S_ACKNOWLEDGE;
    /// The guest has a driver for it.
    pub(super) const DRIVER: u32 = spec::VIRTIO_CONFIG_S_DRIVER;
    /// Both sides agree on the features.
    pub(super) const FEATURES_OK: u32 = spec::VIRTIO_CONFIG_S_FEATURES_OK;
    /// The driver is ready: the device works.
    pub(super) const DRIVER_OK: u32 = spec::VIRTIO_CONFIG_S_DRIVER_OK;
    /// The device is in a state from which only a reset leads out.
    pub(super) const NEEDS_RESET: u32 = spec::VIRTIO_CONFIG_S_NEEDS_RESET;
    /// The driver has given up.
    pub(super) const FAILED: u32 = spec::VIRTIO_CONFIG_S_FAILED;

    /// The steps of the initialisation, in their order (3.1.1).
    const STEPS: [u32; 4] = [Self::ACKNOWLEDGE, Self::DRIVER, Self::FEATURES_OK, Self::DRIVER_OK];

    /// The value of the register.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// Whether this bit is set.
    pub(super) fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Sets a bit.
    pub(super) fn set(&mut self, bit: u32) {
        self.0 |= bit;
    }

    /// The status without the features' acceptance and what follows from it.
    pub(super) fn without_features(self) -> Self {
        Self(self.0 & !(Self::FEATURES_OK | Self::DRIVER_OK))
    }

    /// Whether the device may use its queues (2.1.2, 3.1.1).
    pub(super) fn is_live(self) -> bool {
        self.has(Self::DRIVER_OK) && !self.has(Self::FAILED | Self::NEEDS_RESET)
    }

    /// Whether the driver may set up queues: after the features are agreed upon, before the device
    /// works (3.1.1, step 7).
    pub(super) fn is_setting_up(self) -> bool {
        self.has(Self::FEATURES_OK) && !self.has(Self::DRIVER_OK | Self::FAILED)
    }

    /// What a write asks for. A driver sets the steps in their order, never clears a bit (2.1.1),
    /// and leads a failed device out by a reset only. `DEVICE_NEEDS_RESET` is the device's bit, so
    /// what is written there has no effect.
    pub(super) fn ask(self, written: u32) -> Asked {
        if written == 0 {
            return Asked::Reset;
        }
        let steps: u32 = Self::STEPS.iter().sum();
        let own = self.0 & Self::NEEDS_RESET;
        let to = written & (steps | Self::FAILED);
        let is_gone = self.has(Self::FAILED) || self.0 & !own & !to != 0;
        let reached = Self::STEPS.iter().take_while(|step| to & *step != 0).sum::<u32>();
        if is_gone || reached != to & steps {
            return Asked::Illegal;
        }
        let features = !self.has(Self::FEATURES_OK) && to & Self::FEATURES_OK != 0;
        Asked::Set { to: Self(to | own), features }
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
