//! Self-tests of trapped pages, which have no memory slot: every access has to exit before it takes
//! effect, as a read, a write, or a read and then a write.

use iced_x86::code_asm::{CodeAssembler, qword_ptr, rax, rbx};

use super::bench::data;
use super::layout::{DONE, HOLE};
use super::outcome::{Outcome, Tested};
use super::test_guest::{Assembled, TestGuest, done};
use crate::cpu::Cpu;
use crate::exit::{Bytes, Entry, Exit};

/// The value that is returned for loads.
const OLD: u64 = 0x1122_3344_5566_7788;
/// The value of RBX before the access.
const NEW: u64 = 0x0a0b_0c0d_0e0f_1011;

/// One access, and its expected effects.
struct Access {
    code: fn(&mut CodeAssembler) -> Assembled,
    reads: bool,
    writes: Option<u64>,
    /// RAX before the access.
    rax: u64,
    /// RAX and RBX after the access.
    after: (u64, u64),
}

/// A load.
pub(super) fn load(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.mov(rax, qword_ptr(HOLE)),
            reads: true,
            writes: None,
            rax: 0,
            after: (OLD, NEW),
        },
    )
}

/// A store.
pub(super) fn store(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.mov(qword_ptr(HOLE), rbx),
            reads: false,
            writes: Some(NEW),
            rax: 0,
            after: (0, NEW),
        },
    )
}

/// An unlocked increment.
pub(super) fn inc(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.inc(qword_ptr(HOLE)),
            reads: true,
            writes: Some(OLD + 1),
            rax: 0,
            after: (0, NEW),
        },
    )
}

/// XCHG, which is always locked.
pub(super) fn xchg(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.xchg(qword_ptr(HOLE), rbx),
            reads: true,
            writes: Some(NEW),
            rax: 0,
            after: (0, OLD),
        },
    )
}

/// A locked increment.
pub(super) fn lock_inc(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.lock().inc(qword_ptr(HOLE)),
            reads: true,
            writes: Some(OLD + 1),
            rax: 0,
            after: (0, NEW),
        },
    )
}

/// A locked exchange-and-add.
pub(super) fn lock_xadd(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.lock().xadd(qword_ptr(HOLE), rbx),
            reads: true,
            writes: Some(OLD.wrapping_add(NEW)),
            rax: 0,
            after: (0, OLD),
        },
    )
}

/// A compare-and-exchange that succeeds.
pub(super) fn lock_cmpxchg(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.lock().cmpxchg(qword_ptr(HOLE), rbx),
            reads: true,
            writes: Some(NEW),
            rax: OLD,
            after: (OLD, NEW),
        },
    )
}

/// A compare-and-exchange that fails: as on a processor, it writes the old value.
pub(super) fn failing_cmpxchg(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.lock().cmpxchg(qword_ptr(HOLE), rbx),
            reads: true,
            writes: Some(OLD),
            rax: 1,
            after: (OLD, NEW),
        },
    )
}

/// A locked bit test-and-set.
pub(super) fn lock_bts(test_guest: &TestGuest) -> Tested<Outcome> {
    check(
        test_guest,
        &Access {
            code: |a| a.lock().bts(qword_ptr(HOLE), 4),
            reads: true,
            writes: Some(OLD | 1 << 4),
            rax: 0,
            after: (0, NEW),
        },
    )
}

fn check(test_guest: &TestGuest, access: &Access) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        a.mov(rax, access.rax)?;
        a.mov(rbx, NEW)?;
        (access.code)(a)?;
        done(a)
    })?;
    let mut entry = Entry::Resume;
    if access.reads {
        bench.expect(entry, &Exit::MmioRead { address: HOLE, size: 8 })?;
        entry = data(&OLD.to_le_bytes());
    }
    if let Some(value) = access.writes {
        bench.expect(entry, &write(HOLE, &value.to_le_bytes()))?;
        entry = Entry::Resume;
    }
    match bench.run(entry)? {
        Exit::PortWrite { port: DONE, .. } => {}
        exit => return Ok(bench.odd(&exit)),
    }
    let after = bench.cpu.registers()?;
    if (after.rax, after.rbx) != access.after {
        let detail = format!("exits, but leaves RAX {:#x}, RBX {:#x}", after.rax, after.rbx);
        return Ok(Outcome::partly(detail));
    }
    Ok(Outcome::works(match (access.reads, access.writes.is_some()) {
        (true, true) => "a read exit, then a write exit",
        (true, false) => "a read exit",
        _ => "a write exit",
    }))
}

fn write(address: u64, bytes: &[u8]) -> Exit {
    Exit::MmioWrite { address, data: Bytes::from_slice(bytes) }
}
