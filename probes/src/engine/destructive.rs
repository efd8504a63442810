//! Instructions that change what the guest does.

use std::path::PathBuf;
use std::time::Duration;

use vmm::hook::HookActions;
use vmm::memory::PAGE_SIZE;
use vmm::paging::Mode;
use vmm::registers::Register;

use super::Cause;
use super::changes::{Changes, MAX_DUMPS};
use super::machine::{Firing, Result};
use crate::aggregate::lock;
use crate::destructive::DestructiveAction;
use crate::ir::Space;
use crate::text::Text;

/// The bits of RFLAGS that a script may set: the defined flags (Intel SDM volume 1, figure 3-8)
/// without VM, VIF and VIP, with which no 64-bit code runs. Bit 1 is always set.
const FLAGS: u64 = 0x0025_7fd7;

impl Firing<'_, '_> {
    pub(super) fn action(&mut self, action: DestructiveAction, count: u8) -> Result<()> {
        self.charge(50)?;
        let first = self.state.stack.len().saturating_sub(count.into());
        let mut arguments = [0; 3];
        for (slot, value) in arguments.iter_mut().zip(self.state.stack.drain(first..)) {
            *slot = value;
        }
        let [a, b, c] = arguments;
        match action {
            DestructiveAction::Delay => self.delay(a, if count == 2 { b } else { a })?,
            DestructiveAction::Nmi => self.send_nmi((count == 1).then_some(a))?,
            DestructiveAction::SetRegister => self.set_register(a, b)?,
            DestructiveAction::Poke(space) => {
                self.poke(space, a, b, if count == 3 { c } else { 8 })?;
            }
            DestructiveAction::Stop => {
                // A code that doesn't fit in 32 bits is still reported as a failure.
                let code = u32::try_from(a).unwrap_or(u32::MAX);
                self.wish(action)?.stop(code);
                self.count(|changes| changes.stops += 1);
            }
            DestructiveAction::Suspend => self.suspend()?,
            DestructiveAction::Dump => {}
        }
        self.push(1);
        Ok(())
    }

    /// The list of actions that a hook requests; an error once the run is over.
    fn wish(&mut self, action: DestructiveAction) -> Result<&mut HookActions> {
        let actions = self.context.actions.as_deref_mut();
        actions.ok_or_else(|| Cause::Over(action.name()).into())
    }

    fn count(&self, count: impl FnOnce(&mut Changes)) {
        count(&mut lock(&self.shared.changes));
    }

    fn delay(&mut self, low: u64, high: u64) -> Result<()> {
        let action = DestructiveAction::Delay;
        self.in_vcpu(action.name())?;
        if low > high {
            let problem = "above the most that it may be";
            return Err(Cause::Argument { action: action.name(), value: low, problem }.into());
        }
        self.wish(action)?;
        let (seed, vcpu) = (self.shared.settings.seed, self.context.vcpu);
        let wanted = Duration::from_micros(self.state.delays.draw(seed, vcpu, low, high));
        let taken = self.state.delays.take(self.context.now, wanted);
        self.wish(action)?.hold(taken);
        self.count(|changes| {
            changes.delays += u64::from(!taken.is_zero());
            changes.delay_microseconds += taken.as_micros() as u64;
            if taken < wanted {
                changes.cut_delays += 1;
                let rest = wanted.saturating_sub(taken).as_micros();
                let rest = u64::try_from(rest).unwrap_or(u64::MAX);
                changes.cut_microseconds = changes.cut_microseconds.saturating_add(rest);
            }
        });
        Ok(())
    }

    fn send_nmi(&mut self, target: Option<u64>) -> Result<()> {
        let action = DestructiveAction::Nmi;
        let target = if let Some(target) = target {
            target
        } else {
            self.in_vcpu(action.name())?;
            self.context.vcpu.into()
        };
        if target >= self.context.vcpus.into() {
            let problem = "no vCPU of this machine";
            return Err(Cause::Argument { action: action.name(), value: target, problem }.into());
        }
        self.wish(action)?.nmi(target as u32);
        self.count(|changes| changes.nmis += 1);
        Ok(())
    }

    fn set_register(&mut self, number: u64, value: u64) -> Result<()> {
        let action = DestructiveAction::SetRegister;
        self.in_vcpu(action.name())?;
        let register = usize::try_from(number).ok();
        let register = register.and_then(|number| Register::ALL.get(number).copied());
        let register = register.ok_or(Cause::Register(number))?;
        let problem = match register {
            Register::Rip => {
                let mode = Mode::of(self.values.system(self.context)?);
                (!mode.is_canonical(value)).then_some("no canonical address, so no RIP")
            }
            Register::Rflags => {
                (value & !FLAGS != 0).then_some("more than the flags that a script may set")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(Cause::Argument { action: action.name(), value, problem }.into());
        }
        self.wish(action)?.set_register(register, value);
        self.values.set_general(register, value, self.context)?;
        self.count(|changes| changes.registers += 1);
        Ok(())
    }

    fn poke(&mut self, space: Space, address: u64, value: u64, size: u64) -> Result<()> {
        let action = DestructiveAction::Poke(space);
        let bytes = value.to_le_bytes();
        let data = usize::try_from(size).ok().and_then(|size| bytes.get(..size));
        let Some(data) = data.filter(|data| !data.is_empty()) else {
            let problem = "no number of bytes from 1 to 8";
            return Err(Cause::Argument { action: action.name(), value: size, problem }.into());
        };
        self.wish(action)?;
        // Both pieces are known to be in RAM before either is written.
        let in_page = ((PAGE_SIZE - address % PAGE_SIZE) as usize).min(data.len());
        let (low, high) = data.split_at(in_page);
        let mut pieces = [(address, low), (address.wrapping_add(in_page as u64), high)];
        for (at, piece) in pieces.iter_mut().filter(|(_, piece)| !piece.is_empty()) {
            let virt = *at;
            if space == Space::Linear {
                self.in_vcpu("a linear address")?;
                *at = self.values.translate(virt, self.context)?;
            }
            let mut probe = [0; 8];
            let probe = probe.get_mut(..piece.len()).unwrap_or_default();
            if self.context.memory.read(*at, probe).is_err() {
                return Err(match space {
                    Space::Linear => {
                        let fault = vmm::paging::Fault::NoRam { address: *at };
                        Cause::Guest { address: virt, fault }
                    }
                    Space::Physical => Cause::Physical { address: *at },
                }
                .into());
            }
        }
        for (at, piece) in pieces.iter().filter(|(_, piece)| !piece.is_empty()) {
            self.context.memory.write(*at, piece).map_err(Cause::Cpu)?;
        }
        // The store may have changed a page table.
        self.values.forget_pages();
        self.count(|changes| changes.pokes += 1);
        Ok(())
    }

    fn suspend(&mut self) -> Result<()> {
        self.wish(DestructiveAction::Suspend)?.suspend();
        self.count(|changes| changes.suspensions += 1);
        let text = format!(
            "suspended by {} on vCPU {}: kill -CONT {} lets the guest go on",
            self.probe.name,
            self.context.vcpu,
            std::process::id()
        );
        self.state.output.notice(text);
        Ok(())
    }

    pub(super) fn dump(&mut self) -> Result<()> {
        let action = DestructiveAction::Dump;
        self.charge(50)?;
        let top = self.state.text_top.saturating_sub(1);
        let name = self.state.texts.get(top).map(Text::as_bytes).unwrap_or_default().to_vec();
        self.drop_text();
        if name.is_empty() || name.contains(&0) {
            let problem = "the number of bytes of a name that no file has";
            let value = name.len() as u64;
            return Err(Cause::Argument { action: action.name(), value, problem }.into());
        }
        if name == b"-" {
            let problem = "the length of the name `-`: a dump needs a file, not standard output";
            return Err(Cause::Argument { action: action.name(), value: 1, problem }.into());
        }
        self.wish(action)?;
        let mut changes = lock(&self.shared.changes);
        let is_one_too_many = changes.dumps >= MAX_DUMPS;
        if is_one_too_many {
            changes.cut_dumps += 1;
        } else {
            changes.dumps += 1;
        }
        drop(changes);
        if !is_one_too_many {
            use std::os::unix::ffi::OsStringExt;
            let path = PathBuf::from(std::ffi::OsString::from_vec(name));
            self.wish(action)?.dump(path);
        }
        self.push((!is_one_too_many).into());
        Ok(())
    }
}
