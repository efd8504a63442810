//! Work that a device has left behind because a call has a bound: the supervisor goes on with it.

use std::os::fd::AsRawFd;
use std::time::Duration;

use devices::device::Wiring;
use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::timerfd::TimerFd;

use super::Outlet;
use super::control::{Control, broken};
use super::listen::listen;
use crate::board::Board;
use crate::error::Result;
use crate::kvm::KvmIrqchip;
use crate::virtio::Deferred;

/// How long to wait before looking again whether the reader of the output has made room.
const RETRY: Duration = Duration::from_millis(5);

/// Does the work of one device.
pub(super) struct DeferredWork<'a> {
    control: &'a Control,
    board: &'a Board,
    irqchip: KvmIrqchip,
    deferred: &'a Deferred,
    outlet: Option<&'a dyn Outlet>,
    retry: TimerFd,
}

impl<'a> DeferredWork<'a> {
    pub(super) fn new(
        control: &'a Control,
        board: &'a Board,
        irqchip: KvmIrqchip,
        deferred: &'a Deferred,
        outlet: Option<&'a dyn Outlet>,
    ) -> Result<Self> {
        let retry = TimerFd::new().map_err(|errno| broken(errno.into()))?;
        Ok(Self { control, board, irqchip, deferred, outlet, retry })
    }
}

impl MutEventSubscriber for DeferredWork<'_> {
    fn process(&mut self, events: Events, _: &mut EventOps) {
        if events.fd() == self.retry.as_raw_fd() {
            let _ = self.retry.wait();
        } else {
            let _ = self.deferred.bell.read();
        }
        // A vCPU that prints waits for the reader as well.
        if self.deferred.prints && self.outlet.is_some_and(Outlet::is_full) {
            let again = self.retry.reset(RETRY, None);
            return again.unwrap_or_else(|errno| self.control.fail(broken(errno.into())));
        }
        let mut wiring = Wiring { clock: self.control, controller: &mut self.irqchip };
        (self.deferred.perform)(self.board, &mut wiring);
        if let Some(end) = self.board.take_met() {
            self.control.end(end);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        listen(self.control, ops, &*self.deferred.bell);
        listen(self.control, ops, &self.retry);
    }
}
